// demo_generate GRAMMAR COUNT SEED: writes COUNT labelled reviews as CSV to standard output.
#include <cstdio>
#include <cstdlib>

#include "data/check.h"
#include "data/demo/grammar.h"
#include "data/demo/reviews.h"
#include "data/files/files.h"

int main(int argc, char** argv) {
  using namespace berth;
  try {
    check_usage(argc == 4, "usage: demo_generate GRAMMAR COUNT SEED > train.csv");
    const long long count = std::atoll(argv[2]);
    check_usage(count > 0, "COUNT must be a positive number, got ", argv[2]);
    const demo::Grammar grammar(data::read_file(argv[1]));
    const std::string csv = demo::to_csv(grammar.generate(count, std::strtoull(argv[3], nullptr, 10)));
    check(std::fwrite(csv.data(), 1, csv.size(), stdout) == csv.size() && std::fflush(stdout) == 0,
          "cannot write to standard output");
    return 0;
  } catch (const Error& error) {
    std::fprintf(stderr, "demo_generate: %s\n", error.what());
    return static_cast<int>(error.code());
  }
}

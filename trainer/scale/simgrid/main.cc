// berth_simulate CASE: prints the seconds of a step. CASE: a file, as berth scale writes it (trainer/scale/scaling.h).
#include <cstdio>
#include <iostream>

#include "data/check.h"
#include "data/files/files.h"
#include "data/json/json.h"
#include "trainer/scale/simgrid/simulate.h"

int main(int argc, char** argv) {
  try {
    berth::check_usage(argc == 2, "usage: berth_simulate CASE");
    const auto json = berth::data::parse_json<berth::scale::Json>(berth::data::read_file(argv[1]), argv[1]);
    std::printf("%.9g\n", berth::scale::simulate(berth::scale::parse_case(json, argv[1])));
    return 0;
  } catch (const std::exception& exception) {
    const berth::Error error = berth::as_error(exception);
    std::cerr << "berth_simulate: " << error.what() << std::endl;
    return static_cast<int>(error.code());
  }
}

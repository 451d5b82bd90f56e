// make_tiny_job FOLDER: the tiny model and data set of the job tests, for tests that are not in C++.
#include <iostream>

#include "tests/support/job.h"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::filesystem::path folder = argv[1];
  berth::test::write_tiny_model(folder / "model");
  berth::test::write_tiny_reviews(folder / "train.csv", 125);
  berth::test::write_tiny_reviews(folder / "validation.csv", 41, 2);
  const auto result = berth::test::run_berth(
      "prepare --train-file " + (folder / "train.csv").string() + " --validation-file " + (folder / "validation.csv").string() +
      " --tokenizer " + (folder / "model").string() + " --max-length 32 --output " + (folder / "data.h5").string());
  std::cerr << result.err;
  return result.exit_code;
}

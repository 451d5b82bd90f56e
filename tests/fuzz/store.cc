#include "tests/fuzz/read_dataset.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth;
  const fuzz::InputFile file(fuzz::text_of(data, size));
  fuzz::reads([&] { fuzz::read_dataset(file.path()); });
  return 0;
}

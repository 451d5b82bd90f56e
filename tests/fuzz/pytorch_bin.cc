// Both forms of torch.save, with the pickle and the zip directory in them.
#include "trainer/checkpoint/pytorch_bin.h"

#include "tests/fuzz/tensors.h"
#include "tests/trainer/checkpoint/memory_bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth;
  fuzz::reads([&] {
    fuzz::require_readable(
        train::parse_pytorch_bin(train::memory_bytes(std::string(fuzz::text_of(data, size)), "pytorch_model.bin")));
  });
  return 0;
}

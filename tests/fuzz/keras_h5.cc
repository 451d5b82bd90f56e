#include "trainer/checkpoint/keras_h5.h"

#include "tests/fuzz/tensors.h"
#include "tests/trainer/checkpoint/memory_bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth;
  fuzz::reads([&] {
    fuzz::require_readable(train::parse_keras_h5(train::memory_bytes(std::string(fuzz::text_of(data, size)), "tf_model.h5")));
  });
  return 0;
}

#include "tests/fuzz/fuzz.h"
#include "tests/trainer/checkpoint/memory_bytes.h"
#include "trainer/checkpoint/zip_directory.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth;
  fuzz::reads([&] {
    const auto bytes = train::memory_bytes(std::string(fuzz::text_of(data, size)), "pytorch_model.bin");
    train::looks_like_zip(*bytes);
    for (const auto& [name, entry] : train::read_zip_directory(*bytes))
      fuzz::require(entry.begin <= size && entry.size <= size - entry.begin, "entries lie inside the file");
  });
  return 0;
}

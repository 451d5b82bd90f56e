#include "trainer/checkpoint/manifest.h"

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth;
  fuzz::reads([&] {
    const auto files = train::parse_manifest(fuzz::text_of(data, size), "manifest.json");
    for (const auto& file : files) {
      const std::filesystem::path path = std::filesystem::path("/folder") / file.name;
      fuzz::require(path.lexically_normal() == path && path.parent_path() == "/folder", "files lie in the checkpoint's folder");
      fuzz::require(file.name.find('\0') == std::string::npos, "names have no NUL");
    }
    fuzz::require(train::parse_manifest(train::manifest_text(files), "manifest.json").size() == files.size(),
                  "what is written can be read");
  });
  return 0;
}

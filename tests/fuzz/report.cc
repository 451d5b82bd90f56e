// What report.html is made of.
#include "data/utf8.h"
#include "tests/fuzz/fuzz.h"
#include "trainer/report/html.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth;
  static const test::TempDir folder;
  constexpr const char* kFiles[] = {"metrics.jsonl", "all_results.json", "provenance.json", "eval_analysis.json", "sweep.json"};
  const auto texts = fuzz::parts(fuzz::text_of(data, size), std::size(kFiles));
  for (size_t i = 0; i < std::size(kFiles); ++i) test::write_bytes(folder / kFiles[i], texts[i].empty() ? "{}" : texts[i]);
  fuzz::reads([&] {
    const auto path = train::write_report(folder.path());
    if (!path) return;
    const std::string page = test::read_bytes(*path);
    fuzz::require(!data::find_invalid_utf8(page), "the page is UTF-8");
    fuzz::require(page.find("<script") == std::string::npos && page.find("<img") == std::string::npos,
                  "what stands in files is text");
  });
  return 0;
}

#include "data/json/json.h"

#include "tests/fuzz/fuzz.h"

namespace {

template <class Json>
void parse(std::string_view text) {
  using namespace berth;
  fuzz::reads([&] {
    const Json value = data::parse_json<Json>(text, "file.json", {.bytes = 1 << 20, .depth = 20, .values = 1000});
    const std::string written = data::dump_json(value);
    fuzz::require(data::dump_json(data::parse_json<Json>(written, "file.json")) == written, "what is printed can be read");
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  parse<nlohmann::json>(berth::fuzz::text_of(data, size));
  parse<nlohmann::ordered_json>(berth::fuzz::text_of(data, size));
  return 0;
}

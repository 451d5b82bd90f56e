#include "trainer/checkpoint/pickle.h"

#include <algorithm>

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth;
  using train::PickleValue;
  static constexpr std::string_view kAllowed[] = {"torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter",
                                                  "torch FloatStorage", "torch HalfStorage", "torch LongStorage"};
  fuzz::reads([&] {
    const train::Pickle pickle = train::read_pickle(fuzz::text_of(data, size), kAllowed, "data.pkl");
    fuzz::require(pickle.size <= size && pickle.root < pickle.values.size(), "a pickle ends inside its bytes");
    size_t items = 0, text = 0;
    for (const PickleValue& value : pickle.values) {
      for (const train::PickleRef item : value.items) fuzz::require(item < pickle.values.size(), "what is referred to is there");
      fuzz::require(value.kind != PickleValue::Kind::kDict || value.items.size() % 2 == 0, "a dict has pairs");
      fuzz::require(value.kind != PickleValue::Kind::kCall || value.items.size() == 2, "a call has arguments");
      const bool known = value.text == "collections OrderedDict" ||
                         std::find(std::begin(kAllowed), std::end(kAllowed), value.text) != std::end(kAllowed);
      fuzz::require(value.kind != PickleValue::Kind::kGlobal || known, "no global but those allowed");
      items += value.items.size();
      text += value.text.size();
    }
    fuzz::require(pickle.values.size() <= size && items <= 3 * size && text <= 3 * size,
                  "memory is bounded by the pickle's size");
  });
  return 0;
}

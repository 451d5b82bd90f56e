#include "trainer/run/run_state.h"

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth;
  using train::RunState;
  fuzz::reads([&] {
    const RunState state = RunState::parse(std::string(fuzz::text_of(data, size)), "trainer_state.json");
    const std::string written = state.to_json(1.5);
    fuzz::require(RunState::parse(written, "trainer_state.json").to_json(1.5) == written,
                  "a state that is saved is the one loaded");
  });
  return 0;
}

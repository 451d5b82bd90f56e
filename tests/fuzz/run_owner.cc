// The record of a run folder's owner, as another process left it.
#include "trainer/checkpoint/run_owner.h"

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth;
  static const test::TempDir folder;
  static const train::OwnerIdentity me{"host", "boot", "pid:[1]", 1, 1, "17", 1, "now"};
  test::write_bytes(folder / ".berth-owner.json", fuzz::text_of(data, size));
  fuzz::reads([&] {
    const train::RunOwner owner(folder.path(), me, {.heartbeat = std::chrono::hours(1), .patience = {}, .tell_waiting = {}});
    owner.check_still_owner();
  });
  return 0;
}

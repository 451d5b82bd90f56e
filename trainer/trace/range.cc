#include "trainer/trace/range.h"

#include <atomic>
#include <exception>
#include <mutex>
#include <utility>

#include "trainer/trace/recording.h"

#if __has_include(<nvtx3/nvToolsExt.h>)
#include <nvtx3/nvToolsExt.h>
#endif

namespace berth::trace {
namespace {

std::atomic<uint64_t> current = 0;  // recording; 0: none

std::mutex mutex;  // guards what follows
uint64_t recordings = 0;
DeviceClock* device_clock = nullptr;
std::vector<Span> spans;

std::string& thread_name() {
  static std::atomic<int> threads = 0;
  thread_local std::string name = "thread " + std::to_string(++threads);
  return name;
}

}  // namespace

Range::Range(const char* name, int64_t bytes) : name_(name), bytes_(bytes), recording_(current.load(std::memory_order_relaxed)) {
#if __has_include(<nvtx3/nvToolsExt.h>)
  nvtxRangePushA(name);
#endif
  if (recording_ == 0) return;
  const std::lock_guard lock(mutex);
  if (recording_ == current && device_clock != nullptr) mark_ = device_clock->mark();
  begin_ = std::chrono::steady_clock::now();
}

Range::~Range() {
#if __has_include(<nvtx3/nvToolsExt.h>)
  nvtxRangePop();
#endif
  if (recording_ == 0) return;
  const std::lock_guard lock(mutex);
  if (recording_ != current) return;
  try {
    Span span{.name = name_,
              .bytes = bytes_,
              .thread = thread_name(),
              .begin = begin_,
              .end = std::chrono::steady_clock::now(),
              .begin_mark = mark_};
    if (device_clock != nullptr) span.end_mark = device_clock->mark();
    spans.push_back(std::move(span));
  } catch (const std::exception&) {  // a device that has failed, which others tell: without this span
  }
}

void name_thread(std::string name) { thread_name() = std::move(name); }

void begin_recording(DeviceClock* clock) {
  const std::lock_guard lock(mutex);
  device_clock = clock;
  spans.clear();
  current = ++recordings;
}

std::vector<Span> end_recording() {
  const std::lock_guard lock(mutex);
  current = 0;
  device_clock = nullptr;
  return std::exchange(spans, {});
}

}  // namespace berth::trace

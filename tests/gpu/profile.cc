// What a GPU and the calls to it take, a step of training: with CUDA_INJECTION64_PATH naming this library, the driver loads it into any
// program that uses CUDA. At the program's end a table goes to the file that BERTH_PROFILE names (else to standard error). A step ends with
// the kernel that decides about it (trainer/kernels/cuda/adamw.cu); the first kWarmUp are not counted.
#include <cupti.h>
#include <cxxabi.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace {

constexpr size_t kBufferBytes = size_t{8} << 20, kWarmUp = 20;

struct Span {
  uint64_t start, end;  // ns
};
struct Activities {
  std::mutex mutex;
  std::map<std::string, std::vector<Span>> on_gpu, calls;
};
Activities& activities() {
  static auto* const all = new Activities;  // outlives everything: the last buffers come at exit
  return *all;
}

std::string readable(const char* name) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> text(abi::__cxa_demangle(name, nullptr, nullptr, &status), std::free);
  std::string result = status == 0 ? text.get() : name;
  for (const char* noise : {"void ", "berth::train::cuda::", "(anonymous namespace)::"})
    for (size_t at; (at = result.find(noise)) != std::string::npos;) result.erase(at, std::string(noise).size());
  return result.substr(0, result.find('('));
}

void take(const CUpti_Activity* record) {
  Activities& all = activities();
  if (record->kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) {
    const auto* kernel = reinterpret_cast<const CUpti_ActivityKernel10*>(record);
    all.on_gpu[kernel->name].push_back({kernel->start, kernel->end});
  } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMCPY) {
    const auto* copy = reinterpret_cast<const CUpti_ActivityMemcpy6*>(record);
    const bool up = copy->copyKind == CUPTI_ACTIVITY_MEMCPY_KIND_HTOD, down = copy->copyKind == CUPTI_ACTIVITY_MEMCPY_KIND_DTOH;
    all.on_gpu[up ? "(copy to the GPU)" : down ? "(copy to the host)" : "(copy)"].push_back({copy->start, copy->end});
  } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMSET) {
    const auto* set = reinterpret_cast<const CUpti_ActivityMemset4*>(record);
    all.on_gpu["(set)"].push_back({set->start, set->end});
  } else {
    const auto* call = reinterpret_cast<const CUpti_ActivityAPI*>(record);
    const char* name = "?";
    cuptiGetCallbackName(record->kind == CUPTI_ACTIVITY_KIND_RUNTIME ? CUPTI_CB_DOMAIN_RUNTIME_API : CUPTI_CB_DOMAIN_DRIVER_API,
                         call->cbid, &name);
    all.calls[name].push_back({call->start, call->end});
  }
}

void CUPTIAPI give_buffer(uint8_t** buffer, size_t* size, size_t* most) {
  *buffer = static_cast<uint8_t*>(std::aligned_alloc(64, kBufferBytes));
  *size = kBufferBytes;
  *most = 0;
}

void CUPTIAPI take_buffer(CUcontext, uint32_t, uint8_t* buffer, size_t, size_t valid) {
  const std::lock_guard lock(activities().mutex);
  CUpti_Activity* record = nullptr;
  while (cuptiActivityGetNextRecord(buffer, valid, &record) == CUPTI_SUCCESS) take(record);
  std::free(buffer);
}

// Within [from, to), by total time.
void print(FILE* out, const char* title, const std::map<std::string, std::vector<Span>>& groups, Span window, double steps) {
  struct Row {
    std::string name;
    double count, us;
  };
  std::vector<Row> rows;
  double count = 0, us = 0;
  for (const auto& [name, spans] : groups) {
    Row row{readable(name.c_str()), 0, 0};
    for (const Span& span : spans) {
      if (span.start < window.start || span.start >= window.end) continue;
      row.count += 1 / steps;
      row.us += static_cast<double>(span.end - span.start) / 1e3 / steps;
    }
    if (row.count > 0) rows.push_back(row);
    count += row.count;
    us += row.us;
  }
  std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.us > b.us; });
  std::fprintf(out, "%s: %.1f a step, %.1f us a step\n", title, count, us);
  for (size_t i = 0; i < std::min<size_t>(rows.size(), 45); ++i)
    std::fprintf(out, "%10.1f us %8.2f x  %s\n", rows[i].us, rows[i].count, rows[i].name.substr(0, 110).c_str());
}

void report() {
  cuptiActivityFlushAll(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED);
  const std::lock_guard lock(activities().mutex);
  std::vector<Span> ends;
  for (const auto& [name, spans] : activities().on_gpu)
    if (readable(name.c_str()).find("decide") != std::string::npos) ends.insert(ends.end(), spans.begin(), spans.end());
  std::sort(ends.begin(), ends.end(), [](const Span& a, const Span& b) { return a.start < b.start; });
  const char* path = std::getenv("BERTH_PROFILE");
  FILE* out = path ? std::fopen(path, "w") : stderr;
  if (!out) return;
  if (ends.size() < kWarmUp + 2) {
    std::fprintf(out, "%zu steps are too few to profile\n", ends.size());
  } else {
    const Span window{ends[kWarmUp].start, ends.back().start};
    const auto steps = static_cast<double>(ends.size() - 1 - kWarmUp);
    std::fprintf(out, "%.0f steps of %.1f us\n", steps, static_cast<double>(window.end - window.start) / 1e3 / steps);
    print(out, "on the GPU", activities().on_gpu, window, steps);
    print(out, "calls", activities().calls, window, steps);
  }
  if (path) std::fclose(out);
}

}  // namespace

extern "C" int InitializeInjection() {
  for (const CUpti_ActivityKind kind : {CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL, CUPTI_ACTIVITY_KIND_MEMCPY,
                                        CUPTI_ACTIVITY_KIND_MEMSET, CUPTI_ACTIVITY_KIND_RUNTIME, CUPTI_ACTIVITY_KIND_DRIVER})
    if (cuptiActivityEnable(kind) != CUPTI_SUCCESS) std::fprintf(stderr, "profile: CUPTI refuses activities of kind %d\n", kind);
  cuptiActivityRegisterCallbacks(give_buffer, take_buffer);
  std::atexit(report);
  return 1;
}

#include "trainer/model/out_of_memory.h"

#include <algorithm>
#include <string_view>

#include "data/check.h"
#include "data/words.h"
#include "trainer/torch.h"

namespace berth::train {
namespace {

// The allocator's message without its advice, which is for programs in Python: "Tried to allocate 2.00 GiB. GPU 0 has a total capacity
// of 79.11 GiB of which 1.02 GiB is free. …".
std::string allocator_says(const c10::Error& error) {
  std::string text = error.what_without_backtrace();
  text = text.substr(0, text.find("If reserved but unallocated"));
  if (const size_t tried = text.find("Tried to allocate"); tried != std::string::npos) text = text.substr(tried);
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text.substr(0, text.find_last_not_of(' ') + 1);
}

}  // namespace

bool is_out_of_memory(const c10::Error& error) {
  return dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr ||
         std::string_view(error.what_without_backtrace()).find("NVML_SUCCESS ==") != std::string_view::npos;
}

void with_memory_for(const std::function<std::string()>& what, const std::function<std::string()>& advice,
                     const std::function<void()>& work) {
  try {
    work();
  } catch (const c10::Error& error) {
    if (!is_out_of_memory(error)) throw;
    fail(ExitCode::kUsage, "the GPU's memory does not suffice for ", what(), ": ", advice(), ". ", allocator_says(error));
  }
}

void with_memory_for(const data::Batch& batch, const std::function<std::string()>& advice, const std::function<void()>& work) {
  const auto what = [&] {
    int64_t longest = 0;
    for (int64_t b = 0; b < batch.size(); ++b) longest = std::max(longest, batch.tokens_of(b));
    return concat("a micro-batch of ", counted(batch.size(), "sample"), " with ", batch.tokens(),
                  " tokens, the longest sample of ", longest);
  };
  with_memory_for(what, advice, work);
}

}  // namespace berth::train

#include "trainer/kernels/dispatch.h"

namespace berth::train::cpu {

std::vector<const Table*> compiled_tables() {
#ifdef __x86_64__
  return {&kTable_generic, &kTable_avx2, &kTable_avx512};
#else
  return {&kTable_generic};
#endif
}

const std::vector<const Table*>& supported_tables() {
  static const std::vector<const Table*> tables = [] {
    std::vector<const Table*> found = {&kTable_generic};
#ifdef __x86_64__
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (avx2) found.push_back(&kTable_avx2);
    if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
      found.push_back(&kTable_avx512);
#endif
    return found;
  }();
  return tables;
}

float* thread_scratch(int64_t floats) {
  constexpr int64_t kAlignment = 16;
  thread_local std::vector<float> buffer;
  if (static_cast<int64_t>(buffer.size()) < floats + kAlignment) buffer.resize(floats + kAlignment);
  const auto address = reinterpret_cast<uintptr_t>(buffer.data());
  return buffer.data() + (64 - address % 64) % 64 / sizeof(float);
}

int64_t attention_scratch(int64_t max_tokens, int64_t head_size) {
  const int64_t pitch = attention_pitch(max_tokens), width = attention_pitch(head_size);
  return 4 * pitch * width + kAttentionQueryBlock * (3 * width + 2 * pitch);
}

}  // namespace berth::train::cpu

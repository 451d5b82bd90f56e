#include "trainer/kernels/compute.h"

#ifdef __aarch64__
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif
#include <ATen/Version.h>
#include <omp.h>
#include <torch/headeronly/version.h>

#include <atomic>
#include <exception>
#include <mutex>

#include "data/words.h"
#include "trainer/kernels/dispatch.h"
#include "trainer/torch.h"

namespace berth::train {
namespace {

// The first number in it: "3.11.3" of "Intel(R) MKL-DNN v3.11.3 (Git Hash …)"; empty if there is none.
std::string number_in(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_of("0123456789"), text.size()));
  return std::string(text.substr(0, text.find_first_not_of("0123456789.")));
}

}  // namespace

void set_compute_threads(int threads) { at::set_num_threads(threads); }

int compute_threads() { return at::get_num_threads(); }

void side_by_side(int64_t count, const std::function<void(int64_t)>& work) {
  std::atomic<int64_t> next = 0;
  std::mutex mutex;  // guards what follows
  std::exception_ptr error;
  int64_t failed = count;
  const bool grad = at::GradMode::is_enabled();
  at::parallel_for(0, compute_threads(), 1, [&](int64_t, int64_t) {
    const at::AutoGradMode as_outside(grad);
    at::get_num_threads();   // libtorch sets a thread's number when it is first asked for
    omp_set_num_threads(1);  // in this parallel region
    for (int64_t i = next++; i < count; i = next++) {
      try {
        work(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        next = count;
        if (i > failed) continue;
        failed = i;
        error = std::current_exception();
      }
    }
  });
  if (error) std::rethrow_exception(error);
}

bool cpu_multiplies_bf16() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const std::string allowed = at::get_cpu_capability();
  return __builtin_cpu_supports("avx512bf16") && allowed != "AVX2" && allowed != "DEFAULT";
#elif defined(__aarch64__)
  return (getauxval(AT_HWCAP2) & HWCAP2_BF16) != 0;
#else
  return false;
#endif
}

std::string describe_libtorch() { return concat("libtorch ", TORCH_VERSION, ", ", at::get_cpu_capability()); }

std::string libtorch_details() {
  const std::string config = at::show_config(), mkl = number_in(at::get_mkl_version()),
                    onednn = number_in(at::get_mkldnn_version());
  std::string text = number_in(std::string_view(config).substr(std::min(config.find("TORCH_VERSION="), config.size())));
  text += "; CPU capability " + at::get_cpu_capability();
  if (!mkl.empty()) text += ", MKL " + mkl;
  if (!onednn.empty()) text += ", oneDNN " + onednn;
  return text;
}

std::string describe_cpu_kernels() {
  return joined(cpu::compiled_tables(), ", ",
                [](const cpu::Table* table) { return concat(table->name, table == &cpu::best_table() ? " (in use)" : ""); });
}

}  // namespace berth::train

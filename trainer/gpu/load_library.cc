#include <dlfcn.h>

#include <cstddef>
#include <cstdlib>
#include <filesystem>

#include "data/check.h"
#include "trainer/gpu/gpu_library.h"

namespace berth::gpu {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

}  // namespace

const Library* load_library(const std::string& version, std::string& why) {
  void* handle = dlopen(kLibraryFile, RTLD_NOW | RTLD_GLOBAL);
  if (!handle) {
    const std::string problem = dlerror();
    why = problem.starts_with(kLibraryFile) && problem.find("No such file") != std::string::npos
              ? "this berth was built without CUDA"
              : concat("its library for them cannot be loaded: ", problem);
    return nullptr;
  }
  const auto entry = reinterpret_cast<const Library* (*)()>(dlsym(handle, kLibraryEntry));
  const Library* library = entry ? entry() : nullptr;
  if (library && library->version == version) return library;
  why = concat("its library for them, ", kLibraryFile, ", is of another version");
  return nullptr;
}

std::filesystem::path find_library() {
  void* program = dlopen(nullptr, RTLD_LAZY);
  Dl_serinfo size;
  if (!program || dlinfo(program, RTLD_DI_SERINFOSIZE, &size) != 0) return {};
  const auto memory = std::make_unique<std::max_align_t[]>(size.dls_size / sizeof(std::max_align_t) + 1);
  auto* folders = new (memory.get()) Dl_serinfo(size);
  if (dlinfo(program, RTLD_DI_SERINFO, folders) != 0) return {};
  for (unsigned i = 0; i < folders->dls_cnt; ++i) {
    const std::filesystem::path path = std::filesystem::path(folders->dls_serpath[i].dls_name) / kLibraryFile;
    if (std::error_code error; std::filesystem::exists(path, error)) return path;
  }
  return {};
}

std::string slice_of_gpu() {
  for (const char* name : {"CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"})
    if (environment(name).starts_with("MIG-")) return environment(name);
  return "";
}

void set_environment() {
  setenv("NCCL_ALGO", "Ring", 0);
  // libtorch 2.15 asks NVML before it lets memory grow, and calls a null pointer where there is none, as in containers without the driver's
  // "utility" libraries. Of a slice NVML tells nothing, which is an internal error there.
  if (environment("PYTORCH_ALLOC_CONF").empty() && slice_of_gpu().empty() && dlopen("libnvidia-ml.so.1", RTLD_LAZY))
    setenv("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True", 0);
}

std::string sign_of_gpus() {
  if (const char* visible = std::getenv("CUDA_VISIBLE_DEVICES")) {
    const std::string value = visible;
    const bool none = value.empty() || value.starts_with("-") || value == "NoDevFiles" || value == "void" || value == "none";
    return none ? "" : "CUDA_VISIBLE_DEVICES=" + value;
  }
  for (const char* name : {"SLURM_STEP_GPUS", "SLURM_JOB_GPUS"})
    if (!environment(name).empty()) return concat(name, "=", environment(name));
  for (int i = 0; i < 64; ++i) {
    const std::string device = "/dev/nvidia" + std::to_string(i);
    std::error_code error;
    if (std::filesystem::exists(device, error)) return device;
  }
  return "";
}

}  // namespace berth::gpu

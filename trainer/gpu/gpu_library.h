// The GPU part of berth: a library of its own, which needs CUDA, NCCL and libtorch's CUDA libraries, and which the program loads where
// there are GPUs. So one program runs on every node. This header compiles without CUDA.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "trainer/comm/communicator.h"

namespace berth::gpu {

// What the library gives. Once it is loaded, trainer/kernels has kernels for CUDA tensors.
struct Library {
  const char* version;  // of the sources; that of the program, or it is not taken
  // GPUs that this process may use; 0 and why.
  int (*count)(std::string& why);
  // Where it is in the host, as sysfs names it: "0000:65:00.0".
  std::string (*pci_address)(int gpu);
  // NCCL carries the tensors, on options.gpu, which becomes the calling thread's device. `host` introduces the ranks to each other and
  // makes the host collectives; its tensor collectives are not used.
  std::unique_ptr<comm::Communicator> (*make_communicator)(std::unique_ptr<comm::Communicator> host,
                                                           const comm::CommOptions& options);
};

inline constexpr const char* kLibraryFile = "libberth_cuda.so";
inline constexpr const char* kLibraryEntry = "berth_gpu_library";  // a function without arguments that returns a const Library*

// The library that lies beside the program or where its RPATH says; null and why if there is none that can be loaded. To be called
// before anything of libtorch that asks for devices.
const Library* load_library(const std::string& version, std::string& why);

// Where load_library() would find it; empty if nowhere. Loads nothing.
std::filesystem::path find_library();

// The part of a GPU (MIG) that this process was given, as CUDA_VISIBLE_DEVICES or NVIDIA_VISIBLE_DEVICES name it: "MIG-…"; empty if it is no part.
std::string slice_of_gpu();

// What numbers and memory depend on, where the environment does not say it: NCCL's rings, whose order of sums does not change with the
// size of a message (NCCL_ALGO), and memory that grows in place, which lengths that change fragment less (PYTORCH_CUDA_ALLOC_CONF).
// Not CUBLAS_WORKSPACE_CONFIG: products run on one stream, with a workspace of their own, which is all that the same bits need; and where
// it is set, libtorch compiles a regular expression before each product (measured on an H200: half of a step's time).
// To be called while the process has one thread.
void set_environment();

// Says by what this process was given GPUs, e.g. "CUDA_VISIBLE_DEVICES=0,1" or "/dev/nvidia0"; empty if by nothing.
std::string sign_of_gpus();

}  // namespace berth::gpu

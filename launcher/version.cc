#include "launcher/version.h"

#include "data/check.h"
#include "data/hdf5/version.h"
#include "trainer/comm/mpi/mpi_library.h"
#include "trainer/gpu/gpu_library.h"
#include "trainer/kernels/compute.h"

namespace berth::launch {
namespace {

std::string gpu_library() {
  if (std::string(BERTH_GPU_LIBRARIES).empty()) return "none: built without CUDA";
  const std::filesystem::path path = gpu::find_library();
  return path.empty() ? concat("none: ", gpu::kLibraryFile, " was built, but is not where berth looks for it")
                      : concat(path.lexically_normal().string(), " (built with ", BERTH_GPU_LIBRARIES, ")");
}

}  // namespace

std::string version_number() { return BERTH_VERSION; }

std::string version() { return concat("berth ", version_number(), " (", train::describe_libtorch(), ")"); }

std::string version_details() {
  std::string text;
  const auto line = [&](std::string name, const std::string& value) {
    name.resize(15, ' ');
    text += name + value + "\n";
  };
  const comm::MpiLibrary mpi = comm::mpi_library();
  line("MPI", mpi.running);
  line("libtorch", train::libtorch_details());
  line("HDF5", data::h5::library_version());
  line("built with", concat(mpi.built_for, mpi.built_for.empty() ? "" : ", ", BERTH_LIBRARIES));
  line("compiler", BERTH_COMPILER);
  line("CPU kernels", train::describe_cpu_kernels());
  line("GPU library", gpu_library());
  return text;
}

}  // namespace berth::launch

// berth's own kernels on the stand-ins. A program for the stand-ins is linked with the kernels that the C++ compiler made of their sources
// in the place of nvcc's (a launch that nvcc compiled knows neither the types of a kernel's parameters nor code for a CPU). Each launch runs as
// an operation of its stream, on the launching thread.
#include "tests/standin/standin.h"
#include "tests/standin/symbols.h"
#include "tests/standin/watch.h"
#include "trainer/kernels/cuda/on_cpu.h"

namespace berth::standin {
namespace {

void run(const void* kernel, train::cuda::Stream stream, const std::function<void()>& body) {
  const std::string name = name_of(kernel);
  if (hollow() && name != "decide_kernel") return;
  Launch launch(stream, name);
  count("launches", name);
  const Watch watch(name);
  {
    const Memory::Exposed exposed;
    body();
  }
  for (const Access& access : watch.accesses()) launch.touches(access);
}

[[maybe_unused]] const bool in_place = (train::cuda::on_cpu::queue = run) != nullptr;

}  // namespace
}  // namespace berth::standin

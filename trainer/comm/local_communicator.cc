#include "trainer/comm/local_communicator.h"

#include <sys/mman.h>

#include <algorithm>

#include "data/check.h"
#include "trainer/comm/gpu.h"

namespace berth::comm {

at::Tensor allocate_pages(int64_t bytes) {
  const auto size = static_cast<size_t>(std::max<int64_t>(bytes, 1));
  void* pages = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  check_internal(pages != MAP_FAILED, "the system gives no ", bytes, " bytes of memory");
  return at::from_blob(
      pages, {bytes}, [size](void* memory) { munmap(memory, size); }, at::kByte);
}

std::unique_ptr<Communicator> make_local_communicator(int gpu) { return std::make_unique<LocalCommunicator>(device_of(gpu)); }

}  // namespace berth::comm

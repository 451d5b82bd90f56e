#include "trainer/comm/communicator.h"

namespace berth::comm {

std::unique_ptr<Communicator> make_communicator(const CommOptions& options) {
  auto mpi = make_mpi_communicator(options);
  return options.device.is_cuda() ? make_nccl_communicator(std::move(mpi), options) : std::move(mpi);
}

}  // namespace berth::comm

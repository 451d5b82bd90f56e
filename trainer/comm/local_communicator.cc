#include "trainer/comm/local_communicator.h"

#include "trainer/comm/gpu.h"

namespace berth::comm {

std::unique_ptr<Communicator> make_local_communicator(int gpu) { return std::make_unique<LocalCommunicator>(device_of(gpu)); }

}  // namespace berth::comm

// N ranks as threads of one process: for tests of several GPUs without MPI.
#pragma once

#include <functional>
#include <memory>

#include "trainer/comm/communicator.h"

namespace berth::test {

// Runs body(communicator of rank r) on `ranks` threads and joins them; rethrows an exception of one of them. Only host
// collectives; a rank that throws must not leave others waiting.
void run_as_threads(int ranks, const std::function<void(std::unique_ptr<comm::Communicator>)>& body);

}  // namespace berth::test

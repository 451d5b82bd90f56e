// Several communicators that share the job's ranks out, each for work of its own.
#pragma once

#include <memory>

#include "trainer/comm/communicator.h"

namespace berth::comm {

// As make_mpi_communicator (communicator.h), of those ranks of the job alone that give the same `group` (>= 0), in their order. A
// collective call of all ranks of the job. A failure of the transport still ends the whole job.
std::unique_ptr<Communicator> make_mpi_group(const CommOptions& options, int group);

}  // namespace berth::comm

// What may fail on one rank must fail on all: an error that only some ranks see would leave the others waiting in a collective.
#pragma once

#include <functional>

#include "data/check.h"
#include "trainer/comm/communicator.h"

namespace berth::comm {

// An error that every rank throws at the same point with the same message: rank 0 prints it and all leave in order, without
// abort.
class AgreedError : public Error {
 public:
  using Error::Error;
};

// Runs `work` on every rank (or on rank 0 alone), then all ranks learn whether it went well anywhere it ran. If not, every rank
// throws the AgreedError of the first failing rank. A collective call.
void agree(Communicator& comm, const std::function<void()>& work);
void agree_on_root(Communicator& comm, const std::function<void()>& work);

}  // namespace berth::comm

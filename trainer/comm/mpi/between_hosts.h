// Sums of the gradients and gathers of the parameters between hosts, over MPI.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "trainer/comm/mpi/mpi_check.h"
#include "trainer/torch.h"

namespace berth::comm {

class BetweenHosts {
 public:
  using Pause = std::function<void()>;

  // `ranks`: the first ones of so many hosts; MPI_COMM_NULL on the others, which make no calls. Messages are of at most `message_bytes`.
  BetweenHosts(MPI_Comm ranks, int hosts, int64_t message_bytes);

  // The tensor, contiguous fp32, becomes the sum over all hosts; with `scatter`, of two hosts, each has the sum of its half alone. `pause` is
  // called while waiting, and may throw to give up.
  void sum(const at::Tensor& tensor, bool scatter, const Pause& pause);
  // Of hosts.size() parts of so many bytes each host brings its own and gets the others.
  void gather(void* data, int64_t bytes_of_a_part, const Pause& pause);
  // Of elements: more are summed a part after the other, and not scattered.
  int64_t most() const { return most_; }

 private:
  void exchange_halves(float* values, int n, bool scatter, const Pause& pause);
  void exchange(const void* out, int64_t out_bytes, void* in, int64_t in_bytes, const Pause& pause) const;
  static void complete(std::span<MPI_Request> requests, const Pause& pause);

  MPI_Comm ranks_;
  int hosts_;
  int own_ = 0;
  int64_t message_bytes_, most_;
  at::Tensor buffer_;
};

}  // namespace berth::comm

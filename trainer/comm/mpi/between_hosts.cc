#include "trainer/comm/mpi/between_hosts.h"

#include <algorithm>
#include <cstring>

namespace berth::comm {
namespace {

constexpr int64_t kMost = 1 << 23;  // elements at once

}  // namespace

BetweenHosts::BetweenHosts(MPI_Comm ranks, int hosts, int64_t message_bytes)
    : ranks_(ranks), hosts_(hosts), most_(std::min(message_bytes / static_cast<int64_t>(sizeof(float)), kMost)) {}

void BetweenHosts::sum(const at::Tensor& tensor, bool scatter, const Pause& pause) {
  float* data = tensor.data_ptr<float>();
  const int64_t size = std::min(most_, tensor.numel());
  if (!buffer_.defined() || buffer_.numel() < size) buffer_ = at::empty({size}, at::kFloat);
  for (int64_t at = 0; at < tensor.numel(); at += most_) {
    const int n = static_cast<int>(std::min(most_, tensor.numel() - at));
    if (hosts_ == 2) {
      exchange_halves(data + at, n, scatter, pause);
      continue;
    }
    // Not in place: there Open MPI (libnbc, 4 and 5) takes a tree, whose root sends and receives the whole tensor once for each of its levels,
    // and else, from four hosts on, a ring, where each host sends and receives it twice.
    std::memcpy(buffer_.data_ptr(), data + at, static_cast<size_t>(n) * sizeof(float));
    MPI_Request request;
    BERTH_MPI(MPI_Iallreduce(buffer_.const_data_ptr(), data + at, n, MPI_FLOAT, MPI_SUM, ranks_, &request));
    complete(std::span(&request, 1), pause);
  }
}

// Both links carry a half there and a half back at the same time, where a tree has one carry all and then the other.
void BetweenHosts::exchange_halves(float* values, int n, bool scatter, const Pause& pause) {
  constexpr int kTag = 2;
  int own = 0;
  BERTH_MPI(MPI_Comm_rank(ranks_, &own));
  const int other = 1 - own, sizes[] = {n / 2, n - n / 2};
  const ptrdiff_t half = n / 2;
  float *kept = values + own * half, *given = values + other * half, *received = buffer_.mutable_data_ptr<float>();
  const auto exchange = [&](const float* out, int out_size, float* in, int in_size) {
    MPI_Request requests[2];
    BERTH_MPI(MPI_Irecv(in, in_size, MPI_FLOAT, other, kTag, ranks_, &requests[0]));
    BERTH_MPI(MPI_Isend(out, out_size, MPI_FLOAT, other, kTag, ranks_, &requests[1]));
    complete(requests, pause);
  };
  exchange(given, sizes[other], received, sizes[own]);
  for (int i = 0; i < sizes[own]; ++i) kept[i] += received[i];
  if (!scatter) exchange(kept, sizes[own], given, sizes[other]);
}

void BetweenHosts::complete(std::span<MPI_Request> requests, const Pause& pause) {
  for (;;) {
    int done = 0;
    BERTH_MPI(MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE));
    if (done) return;
    pause();
  }
}

}  // namespace berth::comm

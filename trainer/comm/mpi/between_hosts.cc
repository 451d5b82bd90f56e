#include "trainer/comm/mpi/between_hosts.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace berth::comm {
namespace {

constexpr int64_t kMost = 1 << 23;  // elements at once

}  // namespace

BetweenHosts::BetweenHosts(MPI_Comm ranks, int hosts, int64_t message_bytes)
    : ranks_(ranks),
      hosts_(hosts),
      message_bytes_(message_bytes),
      most_(std::min(message_bytes / static_cast<int64_t>(sizeof(float)), kMost)) {
  if (ranks_ != MPI_COMM_NULL) BERTH_MPI(MPI_Comm_rank(ranks_, &own_));
}

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
  const int other = 1 - own_, sizes[] = {n / 2, n - n / 2};
  const ptrdiff_t half = n / 2;
  const auto bytes_of = [&](int host) { return sizes[host] * static_cast<int64_t>(sizeof(float)); };
  float *kept = values + own_ * half, *given = values + other * half, *received = buffer_.mutable_data_ptr<float>();
  exchange(given, bytes_of(other), received, bytes_of(own_), pause);
  for (int i = 0; i < sizes[own_]; ++i) kept[i] += received[i];
  if (!scatter) exchange(kept, bytes_of(own_), given, bytes_of(other), pause);
}

// With the other one of two hosts, of messages that are short enough.
void BetweenHosts::exchange(const void* out, int64_t out_bytes, void* in, int64_t in_bytes, const Pause& pause) const {
  constexpr int kTag = 2;
  MPI_Request requests[2];
  BERTH_MPI(MPI_Irecv(in, static_cast<int>(in_bytes), MPI_BYTE, 1 - own_, kTag, ranks_, &requests[0]));
  BERTH_MPI(MPI_Isend(out, static_cast<int>(out_bytes), MPI_BYTE, 1 - own_, kTag, ranks_, &requests[1]));
  complete(requests, pause);
}

void BetweenHosts::gather(void* data, int64_t bytes_of_a_part, const Pause& pause) {
  auto* const bytes = static_cast<std::byte*>(data);
  if (hosts_ > 2 && bytes_of_a_part * hosts_ <= message_bytes_) {
    MPI_Request request;
    BERTH_MPI(MPI_Iallgather(MPI_IN_PLACE, 0, MPI_BYTE, data, static_cast<int>(bytes_of_a_part), MPI_BYTE, ranks_, &request));
    return complete(std::span(&request, 1), pause);
  }
  for (int64_t at = 0; at < bytes_of_a_part; at += message_bytes_) {
    const int64_t n = std::min(message_bytes_, bytes_of_a_part - at);
    const auto piece_of = [&](int host) { return bytes + host * bytes_of_a_part + at; };
    if (hosts_ == 2) {
      exchange(piece_of(own_), n, piece_of(1 - own_), n, pause);
      continue;
    }
    for (int host = 0; host < hosts_; ++host) {
      MPI_Request request;
      BERTH_MPI(MPI_Ibcast(piece_of(host), static_cast<int>(n), MPI_BYTE, host, ranks_, &request));
      complete(std::span(&request, 1), pause);
    }
  }
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

// Times the all-reduce of a MiniLM-L6's gradients (22.7 M fp32, of which 11.7 M are word embeddings), and what it takes from a
// core that computes. mpirun -np 2 build/comm_bench
#include <time.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <thread>

#include "launcher/mpi_session.h"
#include "trainer/comm/communicator.h"
#include "trainer/comm/mpi/mpi_check.h"

namespace {

using berth::comm::CommOptions;
using berth::comm::Communicator;
using berth::comm::Ticket;

constexpr int64_t kDense = 11'000'000;
constexpr int64_t kTable = 11'720'448;
constexpr int64_t kRows = 400 * 384;   // embedding rows that a step of 2 x 16 short reviews touches
constexpr int64_t kBucket = 25 << 18;  // elements of a 25 MiB bucket
constexpr int kRepeats = 12;

double wall() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
double cpu() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

std::vector<at::Tensor> buckets_of(Communicator& comm, int64_t elements) {
  std::vector<at::Tensor> buckets;
  for (; elements > 0; elements -= kBucket) buckets.push_back(comm.allocate(std::min(elements, kBucket)));
  return buckets;
}

void reduce_all(Communicator& comm, const std::vector<at::Tensor>& buckets) {
  Ticket last = 0;
  for (const at::Tensor& bucket : buckets) last = comm.start_all_reduce(bucket);
  comm.wait(last);
}

struct Time {
  double wall = 1e30;
  double cpu = 1e30;
};

// Best of some repetitions that start together: other processes disturb only upwards. CPU time is the mean over ranks, which
// share work.
Time measure(Communicator& comm, const std::function<void()>& work) {
  Time best;
  for (int i = 0; i < kRepeats; ++i) {
    comm.barrier();
    const double wall0 = wall(), cpu0 = cpu();
    work();
    std::vector<double> both = {wall() - wall0, cpu() - cpu0};
    comm.all_reduce_sum(std::span(both));
    best.wall = std::min(best.wall, both[0] / comm.size());
    best.cpu = std::min(best.cpu, both[1] / comm.size());
  }
  return best;
}

void print(Communicator& comm, const char* what, const Time& time) {
  if (comm.rank() == 0) std::printf("%-66s %7.1f %7.1f\n", what, 1e3 * time.wall, 1e3 * time.cpu);
}

// Matrix products, between which buckets are started one by one as backward does.
void compute(Communicator& comm, const std::vector<at::Tensor>* buckets) {
  static const at::Tensor a = at::rand({512, 384}), b = at::rand({384, 1536});
  constexpr int kParts = 8;
  Ticket last = -1;
  for (int part = 0; part < kParts; ++part) {
    for (int i = 0; i < 6; ++i) at::mm(a, b);
    if (buckets && part < static_cast<int>(buckets->size())) last = comm.start_all_reduce((*buckets)[part]);
  }
  if (last >= 0) comm.wait(last);
}

int run() {
  at::set_num_threads(1);
  CommOptions separate;
  separate.shared_memory = false;
  auto shared = berth::comm::make_mpi_communicator({});
  auto messages = berth::comm::make_mpi_communicator(separate);
  if (shared->rank() == 0)
    std::printf("%s\n%-66s %7s %7s\n", shared->description().c_str(), "milliseconds a rank", "wall", "CPU");

  at::Tensor plain = at::zeros({kDense + kTable});
  print(*shared, "MPI_Allreduce, 22.7 M", measure(*shared, [&] {
    MPI_Allreduce(MPI_IN_PLACE, plain.data_ptr(), static_cast<int>(plain.numel()), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
  }));
  const auto message_buckets = buckets_of(*messages, kDense + kTable);
  print(*shared, "MPI_Iallreduce polled, 22.7 M", measure(*shared, [&] { reduce_all(*messages, message_buckets); }));
  const auto all = buckets_of(*shared, kDense + kTable);
  print(*shared, "shared memory, 22.7 M", measure(*shared, [&] { reduce_all(*shared, all); }));
  auto touched = buckets_of(*shared, kDense);
  touched.push_back(shared->allocate(kRows));
  print(*shared, "shared memory, touched rows only (11.2 M)", measure(*shared, [&] { reduce_all(*shared, touched); }));
  print(*shared, "matrix products alone", measure(*shared, [&] { compute(*shared, nullptr); }));
  print(*shared, "matrix products and MPI_Iallreduce polled, 22.7 M",
        measure(*shared, [&] { compute(*messages, &message_buckets); }));
  print(*shared, "matrix products and shared memory, 22.7 M", measure(*shared, [&] { compute(*shared, &all); }));
  print(*shared, "matrix products and shared memory, touched rows only", measure(*shared, [&] { compute(*shared, &touched); }));
  print(*shared, "a rank waits 200 ms for the other, shared memory (mean of both)", measure(*shared, [&] {
    if (shared->rank() == 1) std::this_thread::sleep_for(std::chrono::milliseconds(200));
    reduce_all(*shared, touched);
  }));
  return 0;
}

}  // namespace

int main() { return berth::launch::run_ranks(run); }

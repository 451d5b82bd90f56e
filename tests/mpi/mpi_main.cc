// main() of the tests that run under mpiexec. A test passes if it passes on all ranks.
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>

#include "launcher/mpi_session.h"
#include "trainer/comm/mpi/mpi_check.h"

namespace {

// Rank 0 prints as usual; the others print only what fails. Ranks agree on the verdict when a test ends: not in OnTestPartResult,
// which only ranks that fail would reach.
class AgreeOnVerdict final : public testing::EmptyTestEventListener {
 public:
  explicit AgreeOnVerdict(int rank) : rank_(rank) {}

  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (result.failed() && rank_ != 0) std::cerr << "[rank " << rank_ << "] " << result << std::flush;
  }
  void OnTestEnd(const testing::TestInfo& test) override {
    int failed = test.result()->Failed(), anywhere = 0;
    MPI_Allreduce(&failed, &anywhere, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    failures_ += anywhere;
    if (anywhere && !failed && rank_ == 0) std::cerr << test.name() << " failed on another rank\n";
  }
  int failures() const { return failures_; }

 private:
  int rank_;
  int failures_ = 0;
};

int run_tests() {
  int rank = 0, size = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  const char* wanted = std::getenv("BERTH_TEST_RANKS");
  berth::check_usage(wanted && std::atoi(wanted) == size, "this test was to run on ",
                     wanted ? wanted : "BERTH_TEST_RANKS (unset)", " ranks, but there are ", size);
  auto& listeners = testing::UnitTest::GetInstance()->listeners();
  if (rank != 0) delete listeners.Release(listeners.default_result_printer());
  auto* verdict = new AgreeOnVerdict(rank);
  listeners.Append(verdict);
  const int result = RUN_ALL_TESTS();
  return result != 0 || verdict->failures() > 0 || testing::UnitTest::GetInstance()->test_to_run_count() == 0;
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  return berth::launch::run_ranks(run_tests);
}

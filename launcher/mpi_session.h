// MPI's life in a process, and how a job of several ranks ends.
#pragma once

#include <functional>
#include <string>

namespace berth::launch {

// Whether no launcher has started this process (mpirun, mpiexec, srun with its protocol, …), so that it is the only rank and needs no MPI, which takes time
// to start, and may not be allowed where there is no job. `get_env` is getenv or a test's.
bool started_alone(const std::function<const char*(const char*)>& get_env);

// Runs `body` as the only rank, without MPI, and returns its exit code; an exception is printed, and its code returned.
int run_alone(const std::function<int()>& body);

// Runs `body` between MPI_Init_thread(MPI_THREAD_MULTIPLE) and MPI_Finalize and returns its exit code. A process can do this once.
//
// An exception on any rank ends all ranks (MPI_Abort) with the exit code of the berth::Error, or 1. Its text is printed once:
// where all ranks fail alike, rank 0 is first to print and ends the others. A comm::AgreedError is printed by rank 0, and all
// leave in order. The body must have destroyed its communicator when it returns.
int run_ranks(const std::function<int()>& body);

// How many processes the launcher says that it has started with this one; 0: it does not.
int launched(const std::function<const char*(const char*)>& get_env);

// What is wrong with how the job was started, as a sentence for the user; empty if nothing: a launcher that does not speak MPI's protocol of
// start-up (srun with another PMI, another MPI's mpirun) starts many processes of which each believes it is alone. `get_env` is getenv or a test's.
std::string launch_problem(int mpi_size, const std::function<const char*(const char*)>& get_env);

}  // namespace berth::launch

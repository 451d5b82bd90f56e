// mpi.h, and MPI return codes as exceptions. Only for trainer/comm/mpi/, launcher/mpi_session.cc and tests.
#pragma once

#define OMPI_SKIP_MPICXX 1  // no C++ bindings: the C API alone is the same everywhere
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>

#include <string>

#include "data/check.h"

namespace berth::comm {

inline void mpi_check(int code, const char* call) {
  if (code == MPI_SUCCESS) [[likely]]
    return;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  const std::string name(call);
  fail(ExitCode::kInternal, name.substr(0, name.find('(')), " failed: ", std::string(text, length));
}

}  // namespace berth::comm

// BERTH_MPI(MPI_Barrier(comm)): throws Error(kInternal) "MPI_Barrier failed: <MPI's text>". The communicator used must have
// MPI_ERRORS_RETURN.
#define BERTH_MPI(call) ::berth::comm::mpi_check((call), #call)

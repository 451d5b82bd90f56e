// Which MPI there is.
#pragma once

#include <string>

namespace berth::comm {

struct MpiLibrary {
  std::string built_for;  // "Open MPI v4.1.4", "MPICH 4.0.2"; "": one that its header does not name
  std::string running;    // as MPI_Get_library_version says, its first words: "Open MPI v4.1.4"
};
// May be called before MPI is up, and without it.
MpiLibrary mpi_library();

}  // namespace berth::comm

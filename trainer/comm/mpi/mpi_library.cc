#include "trainer/comm/mpi/mpi_library.h"

#include "trainer/comm/mpi/mpi_check.h"

namespace berth::comm {
namespace {

std::string built_for() {
#if defined(OMPI_MAJOR_VERSION)
  return concat("Open MPI v", OMPI_MAJOR_VERSION, ".", OMPI_MINOR_VERSION, ".", OMPI_RELEASE_VERSION);
#elif defined(MPICH_VERSION)
  return concat("MPICH ", MPICH_VERSION);
#else
  return "";
#endif
}

}  // namespace

MpiLibrary mpi_library() {
  char version[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  BERTH_MPI(MPI_Get_library_version(version, &length));
  const std::string text(version, static_cast<size_t>(length));
  return {built_for(), text.substr(0, text.find_first_of(",\n"))};
}

}  // namespace berth::comm

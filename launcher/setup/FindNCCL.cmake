# Finds NCCL: NCCL_DIR (include/ and lib/), the one beside libtorch in a wheel's site-packages, or the system's or CUDA toolkit's.
#
#   nccl::nccl, NCCL_LIBRARY, NCCL_INCLUDE_DIR, NCCL_VERSION
set(NCCL_DIR "$ENV{NCCL_DIR}" CACHE PATH "NCCL: the folder that holds include/ and lib/")
set(_places ${NCCL_DIR} ${TORCH_DIR}/../nvidia/nccl ${CUDAToolkit_LIBRARY_ROOT} ${CUDAToolkit_BIN_DIR}/..)
find_path(NCCL_INCLUDE_DIR nccl.h HINTS ${_places} PATH_SUFFIXES include)
find_library(NCCL_LIBRARY NAMES nccl libnccl.so.2 HINTS ${_places} PATH_SUFFIXES lib lib64)
if(NCCL_INCLUDE_DIR)
  file(STRINGS ${NCCL_INCLUDE_DIR}/nccl.h _version REGEX "define NCCL_(MAJOR|MINOR|PATCH) ")
  string(REGEX REPLACE "[^0-9]*([0-9]+)[^0-9]*([0-9]+)[^0-9]*([0-9]+).*" "\\1.\\2.\\3" NCCL_VERSION "${_version}")
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(NCCL REQUIRED_VARS NCCL_LIBRARY NCCL_INCLUDE_DIR VERSION_VAR NCCL_VERSION)
if(NCCL_FOUND AND NOT TARGET nccl::nccl)
  add_library(nccl::nccl UNKNOWN IMPORTED GLOBAL)
  set_target_properties(nccl::nccl PROPERTIES IMPORTED_LOCATION ${NCCL_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${NCCL_INCLUDE_DIR})
endif()

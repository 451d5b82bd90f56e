# Finds libtorch, the one in the PyPI wheel or any other from 2.11 on, without asking for a CUDA toolkit (TorchConfig.cmake of
# a CUDA build insists on one even for CPU work).
#
#   TORCH_DIR        folder that holds include/ and lib/ (cache or environment variable); default: what
#                    launcher/setup/get_libtorch.sh put into the cache folder
#   torch::cpu       what the CPU binary links
#   torch::cuda      what the CUDA binary links; only where this libtorch has CUDA and there is a CUDA toolkit (headers, cudart)
#   TORCH_VERSION, TORCH_LIB_DIR
set(_default "")
if(DEFINED ENV{TORCH_DIR})
  set(_default "$ENV{TORCH_DIR}")
else()
  execute_process(COMMAND ${CMAKE_CURRENT_LIST_DIR}/get_libtorch.sh --where OUTPUT_VARIABLE _default
                  OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
set(TORCH_DIR "${_default}" CACHE PATH "libtorch: the folder that holds include/ and lib/")

find_path(TORCH_INCLUDE_DIR ATen/ATen.h PATHS ${TORCH_DIR}/include NO_DEFAULT_PATH NO_CACHE)
find_library(TORCH_CPU_LIBRARY torch_cpu PATHS ${TORCH_DIR}/lib NO_DEFAULT_PATH NO_CACHE)
find_library(TORCH_C10_LIBRARY c10 PATHS ${TORCH_DIR}/lib NO_DEFAULT_PATH NO_CACHE)
if(TORCH_INCLUDE_DIR)
  file(STRINGS ${TORCH_INCLUDE_DIR}/torch/headeronly/version.h _version REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
  string(REGEX REPLACE "[^0-9]*([0-9]+)[^0-9]*([0-9]+)[^0-9]*([0-9]+).*" "\\1.\\2.\\3" TORCH_VERSION "${_version}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  Torch REQUIRED_VARS TORCH_CPU_LIBRARY TORCH_C10_LIBRARY TORCH_INCLUDE_DIR VERSION_VAR TORCH_VERSION
  REASON_FAILURE_MESSAGE "run launcher/setup/get_libtorch.sh, or give -DTORCH_DIR=<folder of a libtorch from 2.11 on>")

if(Torch_FOUND AND NOT TARGET torch::cpu)
  set(TORCH_LIB_DIR ${TORCH_DIR}/lib)
  add_library(torch::headers INTERFACE IMPORTED)
  target_include_directories(torch::headers SYSTEM INTERFACE ${TORCH_INCLUDE_DIR} ${TORCH_INCLUDE_DIR}/torch/csrc/api/include)
  target_link_libraries(torch::headers INTERFACE Threads::Threads)
  add_library(torch::cpu INTERFACE IMPORTED)
  # --allow-shlib-undefined: the wheel's own needs (CUDA runtime and CUPTI) are found through its RPATH when it loads.
  target_link_libraries(torch::cpu INTERFACE torch::headers ${TORCH_CPU_LIBRARY} ${TORCH_C10_LIBRARY})
  target_link_options(torch::cpu INTERFACE -Wl,--allow-shlib-undefined)
endif()

find_library(TORCH_CUDA_LIBRARY torch_cuda PATHS ${TORCH_DIR}/lib NO_DEFAULT_PATH NO_CACHE)
find_library(TORCH_C10_CUDA_LIBRARY c10_cuda PATHS ${TORCH_DIR}/lib NO_DEFAULT_PATH NO_CACHE)
if(Torch_FOUND AND TORCH_CUDA_LIBRARY AND TORCH_C10_CUDA_LIBRARY AND NOT TARGET torch::cuda)
  if(EXISTS ${TORCH_DIR}/../nvidia/cu13/bin/nvcc AND NOT CUDAToolkit_ROOT)  # get_libtorch.sh's, which suits this libtorch
    file(REAL_PATH ${TORCH_DIR}/../nvidia/cu13 CUDAToolkit_ROOT)
  endif()
  find_package(CUDAToolkit QUIET)
  if(CUDAToolkit_FOUND)
    add_library(torch::cuda INTERFACE IMPORTED)
    # libtorch_cuda registers its operators when it loads; hardly anything refers to it by symbol, so the linker would drop it.
    target_link_libraries(torch::cuda INTERFACE torch::cpu -Wl,--no-as-needed ${TORCH_CUDA_LIBRARY} ${TORCH_C10_CUDA_LIBRARY}
                                                -Wl,--as-needed CUDA::cudart)
  endif()
endif()

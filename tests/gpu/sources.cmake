# What of trainer/ the GPU tests are made of: nothing that needs MPI, HDF5, Boost or JSON.
set(BERTH_GPU_SOURCES
  comm/grad_reducer.cc
  comm/local_communicator.cc
  kernels/dropout.cc
  kernels/gemm.cc
  kernels/reference.cc
  model/bert.cc
  model/functions.cc
  model/heads.cc
  model/losses.cc
  model/parameters.cc
  optim/adamw.cc
  optim/adamw_kernels.cc
)

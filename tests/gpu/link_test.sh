#!/bin/bash
# Proves that the CUDA variant is linked as it must be, which no run on a machine without a GPU can show.
# usage: link_test.sh BERTH BERTH_CUDA GPU_TESTS NCCL_OBJECT
set -euo pipefail
berth=$1 berth_cuda=$2 gpu_tests=$3 object=$4
failed=0

expect() {  # yes|no, what, extended regular expression of whole lines, lines
  local found=no
  grep -qxE "$3" <<<"$4" && found=yes
  [ "$found" = "$1" ] || { echo "$2: expected $1, found $found"; failed=1; }
}
needed() { readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'; }

for library in libtorch_cuda.so libc10_cuda.so 'libnccl.so.*' 'libcudart.so.*'; do
  expect yes "berth_cuda needs $library" "$library" "$(needed "$berth_cuda")"
  expect no "berth needs $library" "$library" "$(needed "$berth")"
done
for library in libtorch_cuda.so 'libnccl.so.*'; do
  expect yes "gpu_tests needs $library" "$library" "$(needed "$gpu_tests")"
done
expect no "gpu_tests needs MPI, HDF5 or Boost" 'lib(mpi|hdf5|boost).*' "$(needed "$gpu_tests")"

# The libraries are needed by berth's own code, not just named on the link line.
wanted=$(nm --undefined-only --demangle "$object" | sed 's/^ *[Uw] //')
for symbol in ncclAllReduce ncclBroadcast ncclCommInitRank ncclCommGetAsyncError ncclCommAbort \
  'c10::cuda::getCurrentCUDAStream\(.*' 'c10::cuda::getStreamFromPool\(.*' 'at::cuda::.*'; do
  expect yes "the NCCL object refers to $symbol" "$symbol" "$wanted"
done
used=$(nm --undefined-only --demangle "$berth_cuda" | sed 's/^ *[Uw] //; s/@.*//')
expect yes "berth_cuda refers to ncclAllReduce" ncclAllReduce "$used"
[ "$failed" = 0 ] && echo "the CUDA variant is linked as it must be"
exit "$failed"

#!/bin/bash
# Proves that the GPU library is linked as it must be, which no run on a machine without a GPU can show, and that berth says why where it
# cannot use GPUs that it was given.
# usage: gpu_library_test.sh BERTH LIBRARY GPU_TESTS
set -euo pipefail
berth=$1 library=$2 gpu_tests=$3
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
scratch=$(mktemp -d "${TMPDIR:-/tmp}/berth-gpu.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
failed=0

expect() { # yes|no, what, extended regular expression of whole lines, lines
  local found=no
  grep -qxE "$3" <<<"$4" && found=yes
  [ "$found" = "$1" ] || { echo "$2: expected $1, found $found"; failed=1; }
}
needed() { readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'; }
defined() { nm --dynamic --defined-only "$1" | awk '{print $NF}' | sort -u; }
undefined() { nm --dynamic --undefined-only "$1" | awk '{print $NF}' | sort -u; }

for name in libtorch_cuda.so libc10_cuda.so 'libnccl.so.*' 'libcudart.so.*'; do
  expect yes "the library needs $name" "$name" "$(needed "$library")"
  expect no "berth needs $name" "$name" "$(needed "$berth")"
done
for name in libtorch_cuda.so 'libnccl.so.*'; do
  expect yes "gpu_tests needs $name" "$name" "$(needed "$gpu_tests")"
done
expect no "gpu_tests needs MPI, HDF5 or Boost" 'lib(mpi|hdf5|boost).*' "$(needed "$gpu_tests")"

# The libraries are needed by berth's own code, not just named on the link line.
wanted=$(nm --undefined-only --demangle "$library" | sed 's/^ *[Uw] //; s/@.*//')
for symbol in ncclAllReduce ncclBroadcast ncclCommInitRank ncclCommGetAsyncError '_*cudaLaunchKernel.*' \
  'c10::cuda::getCurrentCUDAStream\(.*' 'c10::cuda::getStreamFromPool\(.*' 'at::cuda::.*'; do
  expect yes "the library refers to $symbol" "$symbol" "$wanted"
done

# What the library wants of berth, the program has.
missing=$(comm -23 <(undefined "$library" | grep 5berth) <(defined "$berth"))
[ -z "$missing" ] || { echo "the program does not export:"; c++filt <<<"$missing"; failed=1; }

# GPUs that cannot be used are an error, not a run on the CPU.
refused() { # BERTH, DEVICE, expected text
  local code=0
  "$1" evaluate --device "$2" --model none --data none >"$scratch/out" 2>&1 || code=$?
  [ "$code" = 2 ] || { echo "exit code $code where 2 is due"; cat "$scratch/out"; failed=1; }
  grep -q -- "$3" "$scratch/out" || { echo "no '$3' in:"; cat "$scratch/out"; failed=1; }
}
CUDA_VISIBLE_DEVICES=0 refused "$berth" auto 'this job was given GPUs (CUDA_VISIBLE_DEVICES=0), but berth cannot use them: '
refused "$berth" cuda 'no GPU can be used here: '
cp "$berth" "$scratch/berth"
CUDA_VISIBLE_DEVICES=0 refused "$scratch/berth" auto 'this berth was built without CUDA. --device cpu computes without them'
[ "$failed" = 0 ] && echo "the GPU library is linked as it must be"
exit "$failed"

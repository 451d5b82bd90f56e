#!/usr/bin/env bash
# thread_sanitizer.sh BUILD TORCH: the thread sanitizer on what needs libtorch and MPI: whole jobs whose checkpoints are copied and written beside
# training, with a slow copy and a slow disk, and the reductions beside backward, in shared memory and between hosts. Builds these
# programs in the folder BUILD, with libtorch from TORCH, which takes half an hour.
set -euo pipefail
build=$1 torch=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cmake -S "$here/../.." -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS=-fsanitize=thread "-DCMAKE_CXX_FLAGS_DEBUG=-O1 -g1" \
  -DBERTH_CUDA=OFF -DBERTH_WERROR=OFF -DTORCH_DIR="$torch" --log-level=ERROR >/dev/null
cmake --build "$build" --target berth grad_reducer_test communicator_test
build=$(realpath "$build")

folder=$(mktemp -d "${TMPDIR:-/tmp}/berth-threads.XXXXXX")
trap 'rm -rf "$folder"' EXIT
. "$here/../slurm/tiny_model.sh"
. "$here/../../launcher/setup/mpi_env.sh"
tiny_model "$folder/tiny"
export OMP_NUM_THREADS=1 OMPI_MCA_pml=ob1
export TSAN_OPTIONS="exitcode=66 suppressions=$here/thread_sanitizer.supp"
"$build/berth" prepare --train-file "$here/../../data/demo/train.csv" --validation-file "$here/../../data/demo/test.csv" --tokenizer "$folder/tiny" \
  --output "$folder/demo.h5" >/dev/null

checked() { # WHAT COMMAND…
  local what=$1
  shift
  if ! "$@" >"$folder/log" 2>&1; then
    cat "$folder/log" >&2
    echo "FAILED: $what" >&2
    exit 1
  fi
  echo "ok: $what"
}
for options in "" "--zero 1" "--ema-decay 0.8" "--bf16 --gradient-accumulation-steps 2" "--save-total-limit 1 --load-best-model-at-end"; do
  for slow in copy before-manifest; do
    export BERTH_FAILPOINT=$slow@1+:SLOW
    # shellcheck disable=SC2086
    checked "a job, $slow slow $options" mpirun -np 2 "$build/berth" train --model "$folder/tiny" --from-scratch --data "$folder/demo.h5" \
      --output-dir "$folder/run" --overwrite-output-dir --per-device-train-batch-size 8 --max-steps 30 --save-steps 5 --eval-strategy steps \
      --eval-steps 5 --max-eval-samples 40 --disable-tqdm $options
  done
done
unset BERTH_FAILPOINT
for ranks in 2 3 4; do
  export BERTH_TEST_RANKS=$ranks
  checked "reductions beside backward, $ranks ranks" mpirun -np $ranks "$build/grad_reducer_test"
  checked "the communicator, $ranks ranks" mpirun -np $ranks "$build/communicator_test"
done

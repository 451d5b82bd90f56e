#!/usr/bin/env bash
# mpirun_job_test.sh BERTH: a signal to slurm/mpirun_job.sh becomes a checkpoint and exit code 75, and the same command goes on to the end.
set -euo pipefail
set -m # or background jobs would ignore INT
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
berth=$1
. "$here/tiny_model.sh"
. "$here/cluster.sh"
. "$here/../../launcher/setup/mpi_env.sh"
folder=$(mktemp -d "${TMPDIR:-/tmp}/berth-mpirun.XXXXXX")
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export OMP_NUM_THREADS=1
tiny_model tiny
"$berth" prepare --task classification --train-file "$here/../../data/demo/train.csv" --tokenizer tiny --output demo.h5 >prepare.log

fail() {
  echo "FAILED: $*" >&2
  tail -n 40 train.log >&2
  exit 1
}
lines() { if [ -s run/metrics.jsonl ]; then wc -l <run/metrics.jsonl; else echo 0; fi; }
more_lines_than() { [ "$(lines)" -gt "$1" ]; }

for signal in TERM INT HUP USR2 none; do
  before=$(lines)
  "$here/../../slurm/mpirun_job.sh" mpirun -np 2 "$berth" train --model tiny --from-scratch --data demo.h5 --output-dir run --max-steps 3000 \
    --logging-steps 20 --per-device-train-batch-size 16 >>train.log 2>&1 &
  job=$!
  expected=0
  if [ "$signal" != none ]; then
    wait_until 120 more_lines_than "$before" || fail "no step was logged"
    kill -s "$signal" "$job"
    expected=75
  fi
  code=0
  wait "$job" || code=$?
  [ "$code" = "$expected" ] || fail "signal $signal: exit code $code, not $expected"
  echo "ok: signal $signal, exit code $code, $(lines) lines of metrics"
done
[ -f run/model.safetensors ] || fail "no final model"

# Asked before it listens (as sleep never does), a job is ended by the signal: nothing is lost.
"$here/../../slurm/mpirun_job.sh" sh -c 'touch began; exec sleep 100' &
wait_until 120 test -e began
kill -s USR1 $!
code=0
wait $! || code=$?
[ "$code" = 75 ] || fail "signalled before it listened: exit code $code, not 75"

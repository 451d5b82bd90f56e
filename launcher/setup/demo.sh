#!/usr/bin/env bash
# What `make demo` runs once build/berth is there: fine-tunes a pretrained encoder on the demo reviews on 2 MPI ranks, and shows what
# that is worth on hand-written reviews, next to the same model from random weights and to a bag of words.
#   BERTH_MODEL=<folder>  another pretrained encoder       RUNS=<folder>  where the runs go (default: runs)       RANKS=<n>  default: 2
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
model=$(launcher/setup/get_model.sh)
runs=${RUNS:-runs}
gpus=$(nvidia-smi -L 2>/dev/null | grep -c '^GPU') || true
ranks=${RANKS:-$([ "${gpus:-0}" = 1 ] && echo 1 || echo 2)} # at most one a GPU
. launcher/setup/mpi_env.sh

step() { printf '\n== %s\n' "$*"; }
accuracy_of() { sed -nE 's/.*"test_accuracy": *([0-9.]+).*/\1/p' "$1/test_results.json"; }

fine_tune() { # RUN [OPTION…]
  local run=$1
  shift
  mpirun -np "$ranks" build/berth train --model "$model" --data "$runs/demo.h5" --output-dir "$run" --overwrite-output-dir \
    --resume-from-checkpoint none --global-batch-size 32 --num-train-epochs 3 --learning-rate 5e-5 --warmup-ratio 0.1 \
    --eval-strategy epoch --save-strategy no --logging-steps 20 "$@"
  mpirun -np "$ranks" build/berth evaluate --model "$run" --data "$runs/demo.h5" --split test --output-dir "$run" >/dev/null
}

step "Preparing data/demo: 3,000 generated reviews to train on, 200 hand-written ones as the test split"
mkdir -p "$runs"
build/berth prepare --task classification --train-file data/demo/train.csv --validation-split 0.2 --seed 42 \
  --test-file data/demo/test.csv --tokenizer "$model" --output "$runs/demo.h5"

step "Fine-tuning $model on $ranks MPI ranks"
began=$SECONDS
fine_tune "$runs/demo"
trained=$((SECONDS - began))

step "The same from random weights, to compare"
fine_tune "$runs/demo-random" --from-scratch --eval-strategy no

step "Labels of new texts"
build/berth predict --model "$runs/demo" \
  --text "The soup was cold, the waiter was colder, and I would rather go hungry than return." \
  --text "I read it in one night and woke my sister up to tell her about it."

step "Accuracy on the 200 hand-written reviews, which share few words with the training reviews"
printf '%-40s %s\n' "fine-tuned from the pretrained encoder" "$(accuracy_of "$runs/demo")" "the same model from random weights" \
  "$(accuracy_of "$runs/demo-random")"
build/demo_baseline data/demo/train.csv data/demo/test.csv
printf '\nTrained in %d seconds. The run folder is %s: the model (loads in transformers), results, logs.\n' "$trained" "$(realpath "$runs/demo")"

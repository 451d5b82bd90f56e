#!/usr/bin/env bash
# SST-2, first 9,600 rows, one epoch, batch 32, learning rate 5e-5: dev accuracy for three seeds on 1 and on 2 ranks, as a table.
#   sst2_accuracy.sh BUILD [OUT]     BUILD: the folder of berth; OUT: where runs go (default: a temporary folder)
# BERTH_DATASETS: folder with sst2/train.tsv and dev.tsv. The model is BERTH_MODEL or what launcher/setup/get_model.sh got.
# The reference: Hugging Face Trainer with the same hyper-parameters (weight decay 0.01, no warm-up), 1 process, fp32.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
berth=$1/berth
out=${2:-$(mktemp -d)}
mkdir -p "$out"
data=${BERTH_DATASETS:?the folder with sst2/}/sst2
model=$("$root/launcher/setup/get_model.sh")
. "$root/launcher/setup/mpi_env.sh"
export OMP_NUM_THREADS=1

"$berth" prepare --train-file "$data/train.tsv" --validation-file "$data/dev.tsv" --max-train-samples 9600 --tokenizer "$model" --output "$out/sst2.h5" >/dev/null
echo "| ranks | seed | eval_accuracy | eval_loss | train_samples_per_second |"
echo "|---|---|---|---|---|"
for ranks in 1 2; do
  for seed in 1 2 3; do
    run=$out/ranks$ranks-seed$seed
    mpirun -np "$ranks" "$berth" train --model "$model" --data "$out/sst2.h5" --output-dir "$run" --overwrite-output-dir --global-batch-size 32 \
      --per-device-train-batch-size 32 --num-train-epochs 1 --learning-rate 5e-5 --weight-decay 0.01 --seed "$seed" --eval-strategy epoch \
      --per-device-eval-batch-size 64 --save-strategy no --logging-steps 50 --disable-tqdm ${SST2_OPTIONS:-} 2>"$run.log"
    value() { sed -nE "s/.*\"$1\": ([-0-9.e]+).*/\1/p" "$run/all_results.json"; }
    echo "| $ranks | $seed | $(value eval_accuracy) | $(value eval_loss) | $(value train_samples_per_second) |"
  done
done

#!/usr/bin/env bash
# two_hosts.sh BUILD MODEL [ROUNDS] [STEPS]: samples a second of `berth train` with two ranks of one thread, on one host (shared memory) and on
# two, which are namespaces of this machine (TCP, as fast as it goes), by turns; and what the second is of the first. SST-2 of BERTH_DATASETS, 16
# rows a rank. As root.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
berth=$(realpath "$1")/berth model=$(realpath "$2") rounds=${3:-5} steps=${4:-60}
. "$here/../../launcher/setup/mpi_env.sh"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$berth" prepare --train-file "${BERTH_DATASETS:?where the data sets are}/sst2/train.tsv" --max-train-samples 9600 --tokenizer "$model" --output "$folder/data.h5" >/dev/null
options=(train --model "$model" --data "$folder/data.h5" --per-device-train-batch-size 16 --max-steps "$steps" --save-strategy no --eval-strategy no --disable-tqdm)
speed() { sed -n 's/.*"train_samples_per_second": *\([0-9.]*\).*/\1/p' "$folder/$1/train_results.json"; }
export OMP_NUM_THREADS=1 OMPI_MCA_pml=ob1 OMPI_MCA_mpi_yield_when_idle=1
ratios=()
for round in $(seq "$rounds"); do
  mpirun -np 2 "$berth" "${options[@]}" --output-dir "$folder/one$round" 2>"$folder/log"
  "$here/between_hosts.sh" "$berth" 2 0 "${options[@]}" --output-dir "$folder/two$round" 2>>"$folder/log"
  grep -q "2 ranks on 2 hosts" "$folder/log" || { echo "two hosts were taken for one" >&2; exit 1; }
  ratios+=("$(awk -v one="$(speed "one$round")" -v two="$(speed "two$round")" 'BEGIN { printf "%.3f one host %s, two hosts %s", two / one, one, two }')")
  echo "${ratios[-1]}"
done
echo "median: $(printf '%s\n' "${ratios[@]}" | sort -n | sed -n "$(((rounds + 1) / 2))p")"

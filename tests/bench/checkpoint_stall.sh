#!/usr/bin/env bash
# checkpoint_stall.sh BERTH [ROUNDS]: how long training stands still for a checkpoint of BERT-base size (109 M parameters, weights and two moments,
# 1.3 GB), how long it takes to be written beside training, and what a plain copy of as many bytes takes on this disk. Medians.
set -euo pipefail
berth=$1 rounds=${2:-7}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$(mktemp -d "${TMPDIR:-/tmp}/berth-stall.XXXXXX")
trap 'rm -rf "$folder"' EXIT
. "$here/../slurm/tiny_model.sh"
tiny_model "$folder/base"
for ((i = $(wc -l <"$folder/base/vocab.txt"); i < 30522; ++i)); do echo "word$i"; done >>"$folder/base/vocab.txt"
sed -i -E 's/"vocab_size": [0-9]+/"vocab_size": 30522/; s/"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64/"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072/; s/"max_position_embeddings": 128/"max_position_embeddings": 512/' "$folder/base/config.json"
"$berth" prepare --train-file "$here/../../data/demo/train.csv" --tokenizer "$folder/base" --max-length 32 --output "$folder/demo.h5" >/dev/null
"$berth" train --model "$folder/base" --from-scratch --data "$folder/demo.h5" --output-dir "$folder/run" --per-device-train-batch-size 2 \
  --max-steps $((10 * rounds)) --save-steps 10 --save-total-limit 1 --disable-tqdm 2>"$folder/log" || { tail "$folder/log" >&2; exit 1; }
median() { sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
saves() { sed -nE 's/.*saved .* in ([0-9.]+) s, for which training stood still for ([0-9.]+) s$/\1 \2/p' "$folder/log"; }
for ((i = 0; i < 3; ++i)); do
  began=$(date +%s.%N)
  for file in model optimizer; do dd if="$folder/run/checkpoint-$((10 * rounds))/$file.safetensors" of="$folder/$file" bs=4M conv=fsync status=none; done
  echo "$(date +%s.%N) $began" | awk '{ print $1 - $2 }'
done | median >"$folder/copy"
written=$(saves | awk '{ print $1 }' | median) stood=$(saves | awk '{ print $2 }' | median)
echo "$(saves | wc -l) saves: written in $written s, training stood still for $stood s, $(awk "BEGIN { print 100 * $stood / $written }") % of it; dd of the files takes $(cat "$folder/copy") s"

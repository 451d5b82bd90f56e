#!/usr/bin/env bash
# installed_run.sh PREFIX [LAUNCHER…]: the berth there works for another user than the one who installed it, who has none of the builder's
# environment: it tells its versions, prepares the demo's reviews and trains a tiny model on them, its ranks started by the launcher.
set -euo pipefail
prefix=$1
shift
folder=$(mktemp -d "${TMPDIR:-/tmp}/berth-installed.XXXXXX")
trap 'rm -rf "$folder"' EXIT

{ printf '[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n' && tr -cs 'a-z' '\n' <"$prefix/share/berth/data/demo/test.csv" | sort -u | sed '/^$/d'; } >"$folder/vocab.txt"
cat >"$folder/config.json" <<JSON
{"model_type": "bert", "vocab_size": $(wc -l <"$folder/vocab.txt"), "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
 "intermediate_size": 64, "max_position_embeddings": 128, "type_vocab_size": 2}
JSON
user=()
if [ "$(id -u)" = 0 ]; then
  user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
  chown -R 65534:65534 "$folder"
fi
alone() { (cd / && env -i PATH=/usr/bin:/bin HOME=/nonexistent OMP_NUM_THREADS=1 "${user[@]}" "$@"); }
berth() { alone "$prefix/bin/berth" "$@"; }
berth --version
berth prepare --train-file "$prefix/share/berth/data/demo/test.csv" --validation-split 0.2 --tokenizer "$folder" --output "$folder/reviews.h5" >/dev/null
alone "$@" "$prefix/bin/berth" train --model "$folder" --from-scratch --data "$folder/reviews.h5" --output-dir "$folder/run" --max-steps 2 --eval-strategy epoch >/dev/null
berth predict --model "$folder/run" --text "A wonderful film."

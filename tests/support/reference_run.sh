#!/usr/bin/env bash
# reference_run.sh SCRIPT.py ARGS…: runs the script of a test labelled `reference` with the Python of reference_env.sh. An argument DATASETS
# becomes the folder of the real data sets, MODEL that of the demo's encoder. Exits 77 (skipped) and says why where one of them is missing.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
name=${1##*/}
skip() {
  echo "not run: $name needs $*"
  exit 77
}
python=$("$here/reference_env.sh" --where)
[ -x "$python" ] || skip "torch and transformers (make reference)"
arguments=()
for argument in "$@"; do
  case "$argument" in
    DATASETS)
      argument=${BERTH_DATASETS:-}
      [ -d "$argument" ] || skip "the real data sets (BERTH_DATASETS)"
      ;;
    MODEL)
      argument=$("$here/../../launcher/setup/get_model.sh" --where)
      [ -d "$argument" ] || skip "a real encoder (launcher/setup/get_model.sh)"
      ;;
  esac
  arguments+=("$argument")
done
. "$here/../../launcher/setup/mpi_env.sh"
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false PYTHONDONTWRITEBYTECODE=1
exec "$python" "${arguments[@]}"

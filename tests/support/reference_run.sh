#!/usr/bin/env bash
# reference_run.sh SCRIPT.py ARGS…: runs a script of a test labelled `reference`; exits 77 (skipped) where the Python environment isn't.
set -euo pipefail
python=$("$(dirname "${BASH_SOURCE[0]}")/reference_env.sh" --where)
if [ ! -x "$python" ]; then
  echo "not run: ${1##*/} needs torch and transformers (make reference)"
  exit 77
fi
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false PYTHONDONTWRITEBYTECODE=1
exec "$python" "$@"

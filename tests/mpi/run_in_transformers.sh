#!/usr/bin/env bash
# run_in_transformers.sh BUILD: run_in_transformers.py on a tiny job.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$1/make_tiny_job" "$folder"
"$here/../support/reference_run.sh" "$here/run_in_transformers.py" "$1/berth" "$folder"

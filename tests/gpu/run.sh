#!/bin/bash
# On a machine with a GPU, in the folder that pack.sh's archive was unpacked to: everything that only a GPU can show, in under ten minutes.
#   ./run.sh [--only SECTION,…] [--out FOLDER]
# Needs a Python with torch (of the version that the archive is for), transformers, h5py; no MPI, no network, no rights. See run.py.
cd "$(dirname "$0")" || exit
exec python3 run.py "$@"

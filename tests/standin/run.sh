#!/bin/sh
# run.sh FOLDER PROGRAM ARGUMENTS…: the program on the stand-ins that were built in FOLDER, also as what mpiexec starts:
#   STANDIN_GPUS=2 mpiexec -n 2 tests/standin/run.sh build/tests/standin build/berth train …
folder=$(cd "$1" && pwd) || exit
shift
# libtorch's CPU libraries bring a libcudart of their own along, whose place the stand-in must have taken.
export LD_LIBRARY_PATH="$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" LD_PRELOAD="$(echo "$folder"/libcudart.so.*)"
# Room for what is a thread's own in libberth_cuda, the kernels' shared memory above all.
export GLIBC_TUNABLES=glibc.rtld.optional_static_tls=1000000
exec "$@"

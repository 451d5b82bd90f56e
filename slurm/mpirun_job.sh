#!/usr/bin/env bash
# mpirun_job.sh mpirun ARGUMENTS…: mpirun for long jobs, e.g. slurm/mpirun_job.sh mpirun -np 8 berth train …
# On its own TERM or INT (Ctrl-C, a batch system, a node going down) mpirun kills its ranks within a second. Here the first TERM,
# INT or USR1 becomes USR1, which mpirun hands to the ranks: berth saves a checkpoint and leaves with exit code 75. A second TERM or
# INT ends the job at once.
set -u
signals=0 interrupted=0
pass_on() { # 1 if an impatient user may have sent it
  interrupted=1
  signals=$((signals + $1))
  if [ "$signals" -le 1 ]; then kill -USR1 "$job" 2>/dev/null; else kill -TERM "$job" 2>/dev/null; fi
}
# In a session of its own, or Ctrl-C would reach mpirun as well.
setsid "$@" &
job=$!
trap 'pass_on 1' TERM INT
trap 'pass_on 0' USR1
while interrupted=0; wait "$job"; code=$?; [ "$interrupted" = 1 ]; do :; done
exit "$code"

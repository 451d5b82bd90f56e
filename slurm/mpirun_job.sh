#!/usr/bin/env bash
# mpirun_job.sh mpirun ARGUMENTS…: mpirun for long jobs, e.g. slurm/mpirun_job.sh mpirun -np 8 berth train …
# On its own TERM or INT (Ctrl-C, a batch system, a node going down) mpirun kills its ranks within a second, and a HUP or USR2 ends it alone.
# Here the first TERM, INT, HUP (a closed terminal), USR1 or USR2 becomes USR1, which mpirun hands to the ranks: berth saves a checkpoint and
# leaves with exit code 75. A second TERM or INT ends the job at once.
set -u
asked=0 impatient=0 interrupted=0 job=
pass_on() { # 1 if an impatient user may have sent it
  asked=1 interrupted=1
  impatient=$((impatient + $1))
  [ -n "$job" ] || return
  if [ "$impatient" -le 1 ]; then kill -USR1 "$job" 2>/dev/null; else kill -TERM "$job" 2>/dev/null; fi
}
trap 'pass_on 1' TERM INT
trap 'pass_on 0' HUP USR1 USR2
# In a session of its own, or Ctrl-C would reach mpirun as well.
setsid "$@" &
job=$!
[ "$asked" = 0 ] || pass_on 0
while interrupted=0; wait "$job"; code=$?; [ "$interrupted" = 1 ]; do :; done
# Asked before it listened, the job is ended by the signal (128 + USR1). It had not begun, so nothing is lost.
[ "$asked" = 0 ] || [ "$impatient" -gt 1 ] || [ "$code" != "$((128 + $(kill -l USR1)))" ] || code=75
exit "$code"

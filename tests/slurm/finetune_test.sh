#!/usr/bin/env bash
# finetune_test.sh BERTH: slurm/finetune.sh and sweep.sh on a real Slurm. A job completes; one that is signalled is requeued, resumes and ends
# with the very weights of the undisturbed one; without PMIx mpirun takes over; scancel, errors and attempts without progress end it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/cluster.sh"
. "$here/tiny_model.sh"
begin_cluster_test "$1"

export SLURM_TIME_FORMAT=%H:%M # as some users have it, and sbatch passes on

submit() { sbatch --parsable --job-name="$1" --output=%x.log "$here/../../slurm/${2:-finetune.sh}"; }

export TRAIN_OPTIONS="--from-scratch --max-steps 3000 --logging-steps 20 --per-device-train-batch-size 16"
job=$(submit whole)
expect "with no options it trains on the demo reviews" ends "$job" COMPLETED
expect "and says where the run is" grep -q "done: $PWD/runs/whole" whole.log
expect "its log says how long it takes" grep -q ' step .*, ETA ' whole.log
expect "and is plain text" sh -c "! LC_ALL=C grep -q '[[:cntrl:]]' whole.log"
expect "with the ranks of the allocation" grep -q "2 ranks on 1 node " whole.log

mkdir -p scratch
ln -s "$PWD/scratch" runs/stopped
job=$(submit stopped)
expect "a job is under way" wait_until 120 steps_logged stopped
scancel --signal=USR1 --batch "$job"
expect "signalled, it ends well" ends "$job" COMPLETED
expect "after one requeue" restarts "$job" 1
expect "from a checkpoint" grep -Eq 'stopped at step [1-9][0-9]*: requeueing' stopped.log
expect "whose log was kept" grep -q 'attempt 1:' stopped.log
expect "and the weights are those of the undisturbed job" cmp runs/whole/model.safetensors runs/stopped/model.safetensors

# A berth that is signalled while its libraries are loaded, where a run is to be overwritten and the controller is slow to answer.
printf '#!/bin/sh\n[ "$1" != train ] || [ "${SLURM_RESTART_COUNT:-0}" != 0 ] || { touch begun; exec sleep 100; }\nexec %s "$@"\n' "$BERTH" >late
chmod +x late
mkdir busy
printf '#!/bin/sh\n[ -e was_busy ] || { touch was_busy; echo "Socket timed out" >&2; exit 1; }\nexec %s "$@"\n' "$(command -v scontrol)" >busy/scontrol
chmod +x busy/scontrol
cp -r runs/whole runs/early
job=$(PATH="$PWD/busy:$PATH" BERTH=$PWD/late TRAIN_OPTIONS="--from-scratch --max-steps 20 --overwrite-output-dir" submit early)
expect "a job begins" wait_until 120 test -e begun
scancel --signal=USR1 --batch "$job"
expect "signalled before it listens, it ends well" ends "$job" COMPLETED
expect "after one requeue" restarts "$job" 1
expect "and the run that was there is overwritten" grep -q '"global_step": 20,' runs/early/trainer_state.json
expect "though the controller was busy" test -e was_busy

job=$(submit asked)
expect "a job is under way" wait_until 120 steps_logged asked
touch runs/asked/STOP
expect "a file STOP ends it" ends "$job" FAILED
expect "for good" restarts "$job" 0
expect "with advice" grep -q 'STOP asks to stop: not requeued; remove it' asked.log

job=$(submit cancelled)
expect "a job is under way" wait_until 120 steps_logged cancelled
scancel "$job"
expect "scancel ends it" ends "$job" CANCELLED
expect "for good" restarts "$job" 0

# A sweep whose ranks are killed in the middle of a trial, then signalled: it is started again, requeued, and nothing is lost.
printf '#!/bin/sh\n[ "$1" != sweep ] || [ -e killed ] || { touch killed; export BERTH_FAILPOINT=step@30; }\nexec %s "$@"\n' "$BERTH" >deadly
chmod +x deadly
export SWEEP_OPTIONS="--search learning-rate=1e-4,1e-3 --num-seeds 2"
trials() { TRAIN_OPTIONS="--from-scratch --max-steps 400 --eval-strategy steps --eval-steps 200 --save-steps 20 --logging-steps 20" submit "$1" sweep.sh; }
third_begins() { [ -s "runs/$1/trial-0-seed-43/metrics.jsonl" ]; }
job=$(BERTH=$PWD/deadly CHECK=1 trials sweep)
expect "a sweep is under way" wait_until 120 third_begins sweep
scancel --signal=USR1 --batch "$job"
expect "killed and signalled, it ends well" ends "$job" COMPLETED
expect "after a check" grep -Eq '^ok +data .*read by all 2 ranks' sweep.log
expect "which leaves nothing" test ! -e runs/sweep/trial
expect "it was started again" grep -q 'in the middle of its trials: started again' sweep.log
expect "and requeued" restarts "$job" 1
expect "with all trials" sh -c '[ "$(grep -c "\"state\": \"done\"" runs/sweep/sweep.json)" = 4 ]'
unset SWEEP_OPTIONS

mkdir no_pmix
printf '#!/bin/sh\n[ "$1" != --mpi=list ] || { echo none; exit; }\nexec %s "$@"\n' "$(command -v srun)" >no_pmix/srun
chmod +x no_pmix/srun
job=$(PATH="$PWD/no_pmix:$PATH" TRAIN_OPTIONS="--from-scratch --max-steps 20" submit mpirun)
expect "without PMIx in srun the job completes" ends "$job" COMPLETED
expect "and says that mpirun started the ranks" grep -q 'no PMIx here: mpirun' mpirun.log

job=$(MODEL=$PWD/nothing submit wrong)
expect "bad input ends a job" ends "$job" FAILED
expect "for good" restarts "$job" 0
job=$(DATA=$PWD/nothing.h5 submit nodata)
expect "data that is not there is no demo" ends "$job" FAILED
expect "but told" grep -q "there is no $PWD/nothing.h5: give the data set as DATA" nodata.log

# The data set follows its file, but a run does not change its data.
cp "$here/../../data/demo/test.csv" my.csv
export TRAIN_FILE=$PWD/my.csv
mine() { TRAIN_OPTIONS="--from-scratch --max-steps 5" OUTPUT_DIR=$PWD/runs/mine submit "$1"; }
expect "a file of one's own is trained on" ends "$(CHECK=1 mine first)" COMPLETED
expect "after a check" grep -Eq '^ok +data .*read by all 2 ranks' first.log
job=$(CHECK=1 VALIDATION_FILE=$TRAIN_FILE TRAIN_OPTIONS="--from-scratch --max-steps 5" OUTPUT_DIR=$PWD/runs/leaky submit leaky)
expect "a check that finds an error ends the job" ends "$job" FAILED
expect "which has not begun" test ! -e runs/leaky
expect "with the reason" grep -Eq '^error +leakage ' leaky.log
echo '"the last row",positive' >>my.csv
rm -r runs/mine
expect "the file has changed: it" ends "$(mine changed)" COMPLETED
expect "is prepared again" grep -q 'prepared again' changed.log
expect "the same file again" ends "$(mine same)" COMPLETED
expect "is not prepared" sh -c '! grep -q " prepared again\| written in " same.log'
sed -i '$d' my.csv
expect "changed under a run it" ends "$(mine refused)" FAILED
expect "is refused" grep -q 'runs/mine is a run of it: set another OUTPUT_DIR' refused.log
unset TRAIN_FILE

# A prepare that is told to end has nothing to go on from.
printf '#!/bin/sh\ntrap "exit 138" USR1\ntouch preparing\nwhile :; do sleep 0.1; done\n' >slow
chmod +x slow
job=$(BERTH=$PWD/slow submit unprepared)
expect "a data set is being prepared" wait_until 120 test -e preparing
scancel --signal=USR1 --batch "$job"
expect "signalled, the job ends" ends "$job" FAILED
expect "for good" restarts "$job" 0
expect "with advice" grep -q 'before the data set was prepared: not requeued; give the job more --time' unprepared.log

# A berth that stops each time before its first checkpoint.
printf '#!/bin/sh\ncase $1 in prepare) exec %s "$@";; esac\nexit 75\n' "$BERTH" >never
chmod +x never
job=$(BERTH=$PWD/never submit stalled)
expect "attempts without progress end" ends "$job" FAILED
expect "after the second" restarts "$job" 1
expect "with the reason" grep -q 'no progress in two attempts' stalled.log

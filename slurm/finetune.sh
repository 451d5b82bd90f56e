#!/usr/bin/env bash
#SBATCH --job-name=berth
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=2
#SBATCH --time=01:00:00
#SBATCH --output=%x-%j.log
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:USR1@120
#
# Fine-tunes on all tasks of the allocation: one rank a task, one task a GPU (or a share of the CPU).
#   sbatch slurm/finetune.sh                                                     the demo
#   TRAIN_FILE=my.csv MODEL=/models/bert OUTPUT_DIR=runs/my sbatch --nodes=4 --ntasks-per-node=8 --gpus-per-node=8 slurm/finetune.sh
# Nodes, tasks, GPUs and time are given to sbatch, or above, and nowhere else. Two minutes before the time is up berth saves a
# checkpoint and leaves with exit code 75; the job is then requeued and goes on from there. See slurm/README.md.

# The options: set them here or in the environment. Left empty: see the comment.
: "${MODEL:=}"           # model folder; default: the demo's (launcher/setup/get_model.sh fetches it, where there is a network)
: "${TASK:=classification}"
: "${TRAIN_FILE:=}"      # CSV, TSV or JSON Lines; default: the demo's reviews
: "${VALIDATION_FILE:=}" # default: a fifth of TRAIN_FILE
: "${TEST_FILE:=}"
: "${OUTPUT_DIR:=}"      # the run folder; default: runs/<job name> where sbatch was called; a task of an array adds -<its number>
: "${DATA:=}"            # prepared data set; default: <OUTPUT_DIR>.h5; made from the files above if it isn't there, or they have changed
: "${PREPARE_OPTIONS:=}" # more options of berth prepare, separated by blanks
: "${TRAIN_OPTIONS:=}"   # more options of berth train, separated by blanks
: "${OPTIONS_FILE:=}"    # of a job array (sbatch --array=1-8): the task's line of this file is added to TRAIN_OPTIONS
: "${CHECK:=}"           # 1: berth check before each start, which takes seconds; if it finds an error the job ends
: "${MAX_ATTEMPTS:=100}" # starts of this job at most, the requeued ones included
: "${BERTH:=}"           # the program; default: that of this build or installation

set -u
[ ${#BASH_SOURCE[@]} -gt 1 ] && subcommand=sweep || subcommand=train # sweep.sh goes through this script
# One task of an array has the array's number as its own, by which all tasks are meant.
job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
job=${job:-$SLURM_JOB_ID}
# Signals are passed on to what runs; one that comes before is kept.
asked=0 interrupted=0 terminated=0 child=
pass_on() {
  asked=1 interrupted=1
  [ -z "$child" ] || kill -USR1 "$child" 2>/dev/null
}
trap pass_on USR1 USR2 HUP
trap 'terminated=1; pass_on' TERM
# scontrol, up to five times: a controller that is busy, or changes, does not answer. Times as the lines below read them.
ask() {
  local answer attempts
  for attempts in 1 2 3 4 5; do
    answer=$(SLURM_TIME_FORMAT=standard scontrol "$@" 2>&1) && { echo "$answer"; return; }
    [[ $answer != *"presently disabled"* && $attempts != 5 ]] || break
    sleep 2
  done
  echo "$answer" >&2
  return 1
}
# Slurm runs a copy of this script; the original tells where berth is.
described=$(ask show job "$job") || { echo "berth: Slurm does not answer: scontrol show job $job" >&2; exit 1; }
script=$(sed -nE 's/^ *Command=([^ ]+).*/\1/p' <<<"$described" | head -1)
say() { echo "$(basename "$script"): $*"; }
counted() { [ "$1" = 1 ] && echo "$1 $2" || echo "$1 $2s"; }
stop() {
  say "$2" >&2
  exit "$1"
}

root=$(cd "$(dirname "$script")/.." && pwd) || stop 1 "cannot find the folder of $script"
for candidate in "$BERTH" "$root/build/berth" "$root/../../bin/berth" "$(command -v berth)"; do
  [ -x "$candidate" ] && BERTH=$candidate && break
done
[ -x "$BERTH" ] || stop 1 "there is no berth in $root/build nor in PATH: run make build, or set BERTH"

attempt=$((${SLURM_RESTART_COUNT:-0} + 1))
OUTPUT_DIR=${OUTPUT_DIR:-$SLURM_SUBMIT_DIR/runs/$SLURM_JOB_NAME}${SLURM_ARRAY_TASK_ID:+-$SLURM_ARRAY_TASK_ID}
if [ -n "$OPTIONS_FILE" ]; then
  [ -n "${SLURM_ARRAY_TASK_ID:-}" ] || stop 2 "OPTIONS_FILE is for a job array: sbatch --array=1-$(wc -l <"$OPTIONS_FILE")"
  options=$(sed -n "${SLURM_ARRAY_TASK_ID}p" "$OPTIONS_FILE") && [ -n "$options" ] || stop 2 "$OPTIONS_FILE has no line $SLURM_ARRAY_TASK_ID"
  TRAIN_OPTIONS="$TRAIN_OPTIONS $options"
fi
data_given=$DATA
DATA=${DATA:-$OUTPUT_DIR.h5}
[ -n "$MODEL" ] || MODEL=$("$root/launcher/setup/get_model.sh") || stop 1 "no model: set MODEL, or run launcher/setup/get_model.sh on a node with a network"
if [ -z "$TRAIN_FILE" ] && [ ! -f "$DATA" ]; then
  [ -z "$data_given$VALIDATION_FILE" ] || stop 2 "there is no ${data_given:-TRAIN_FILE beside VALIDATION_FILE}: give the data set as DATA, or texts to make it of as TRAIN_FILE"
  TRAIN_FILE=$root/data/demo/train.csv
  TEST_FILE=$root/data/demo/test.csv
fi
mkdir -p "$(dirname "$OUTPUT_DIR")"
[ "$attempt" -gt 1 ] || rm -f "$OUTPUT_DIR.stalled"
say "job $job, attempt $attempt: $(counted "$SLURM_NTASKS" rank) on $(counted "$SLURM_JOB_NUM_NODES" node) ($SLURM_JOB_NODELIST), folder $OUTPUT_DIR"

# run COMMAND…: in the background, because bash runs traps only between foreground commands; signals are passed on, and the wait
# is repeated when one has interrupted it. A program that was asked to end before it listened is ended by the signal (128 + its number): it
# had not begun, so nothing is lost, as with 75.
run() {
  local code
  [ "$asked" = 0 ] || return 75
  "$@" &
  child=$!
  while interrupted=0; wait "$child"; code=$?; [ "$interrupted" = 1 ]; do :; done
  child=
  [ "$asked" = 0 ] || [ "$code" != "$((128 + $(kill -l USR1)))" ] || code=75
  return "$code"
}

# Steps that are safe, of a sweep those of all trials; nothing before there are any.
newest_step() {
  find -H "$1" -maxdepth 1 -name 'checkpoint-*' 2>/dev/null | sed -nE 's/.*checkpoint-([0-9]+)$/\1/p' | sort -n | tail -1
}
steps_done() {
  local trial sum= step
  [ "$subcommand" = sweep ] || { newest_step "$OUTPUT_DIR"; return; }
  for trial in "$OUTPUT_DIR"/trial-*; do
    step=$({ newest_step "$trial"; sed -nE 's/^ *"global_step": ([0-9]+),?$/\1/p' "$trial/trainer_state.json" 2>/dev/null; } | sort -n | tail -1)
    [ -z "$step" ] || sum=$((${sum:-0} + step))
  done
  echo "$sum"
}

# berth stops by itself in time for a checkpoint.
ends=$(sed -nE 's/.* EndTime=([0-9]{4}-[0-9-]+T[0-9:]+) .*/\1/p' <<<"$described" | head -1)
BERTH_END_TIME=$(date -d "${ends:-unknown}" +%s 2>/dev/null) && export BERTH_END_TIME

# Stopped with a good checkpoint: go on in a new attempt, unless the last one and this one brought no progress or the user cancelled.
requeue() {
  local before=$1 after
  after=$(steps_done)
  [ ! -e "$OUTPUT_DIR/STOP" ] || stop 75 "$OUTPUT_DIR/STOP asks to stop: not requeued; remove it, and the same sbatch goes on from step ${after:-0}"
  [ "$terminated" = 0 ] || stop 75 "the job was told to end: not requeued; the same sbatch goes on from step ${after:-0}"
  [ "$attempt" -lt "$MAX_ATTEMPTS" ] || stop 1 "this was attempt $attempt of at most MAX_ATTEMPTS=$MAX_ATTEMPTS: not requeued"
  if [ "${after:-0}" -le "${before:-0}" ]; then
    [ ! -e "$OUTPUT_DIR.stalled" ] || stop 1 "no progress in two attempts (still at step ${after:-0}): not requeued; is --time too short for one checkpoint?"
    echo "attempt $attempt of job $job: no step after ${after:-0}" >"$OUTPUT_DIR.stalled"
  else
    rm -f "$OUTPUT_DIR.stalled"
  fi
  say "stopped at step ${after:-0}: requeueing job $job"
  ask requeue "$job" || stop 75 "Slurm does not requeue this job: the same sbatch goes on from step ${after:-0}"
  exit 75
}

# Whether DATA was made by this very command from these very files.
is_made() {
  local made file
  made=$("$BERTH" inspect --json "$DATA") || return 1
  grep -qF "\"command\": \"berth ${prepare[*]}\"" <<<"$made" || return 1
  for file in "${files[@]}"; do
    grep -qF "\"$file\": \"$(sha256sum <"$file" | cut -d ' ' -f 1)\"" <<<"$made" || return 1
  done
}

if [ -n "$TRAIN_FILE" ]; then
  files=("$TRAIN_FILE" ${VALIDATION_FILE:+"$VALIDATION_FILE"} ${TEST_FILE:+"$TEST_FILE"})
  prepare=(prepare --task "$TASK" --train-file "$TRAIN_FILE" ${TEST_FILE:+--test-file "$TEST_FILE"})
  if [ -n "$VALIDATION_FILE" ]; then
    prepare+=(--validation-file "$VALIDATION_FILE")
  elif [[ " $PREPARE_OPTIONS" != *" --folds"* ]]; then
    prepare+=(--validation-split 0.2)
  fi
  # shellcheck disable=SC2206  # options separated by blanks
  prepare+=(--tokenizer "$MODEL" --output "$DATA" $PREPARE_OPTIONS)
  if [ ! -f "$DATA" ]; then
    made=no
  elif [ ! -e "$TRAIN_FILE" ]; then
    say "$TRAIN_FILE is gone: $DATA is taken as it is"
    made=yes
  elif is_made; then
    made=yes
  elif [ -n "$data_given" ] || [ -n "$(steps_done)" ]; then
    stop 3 "$DATA was made from other files, or by other options, than TRAIN_FILE=$TRAIN_FILE is now$([ -z "$(steps_done)" ] || echo ", and $OUTPUT_DIR is a run of it"): set another OUTPUT_DIR to train on these, leave TRAIN_FILE empty to take $DATA as it is, or remove what you don't need"
  else
    say "$DATA was made from other files or by other options: it is prepared again"
    made=no
  fi
  if [ "$made" = no ]; then
    run "$BERTH" "${prepare[@]}"
    code=$?
    # There is nothing to go on from: another attempt would be cut off at the same place.
    [ "$code" = 0 ] || [ "$asked" = 0 ] || stop 1 "told to end before the data set was prepared: not requeued; give the job more --time, or run berth prepare beforehand"
    [ "$code" = 0 ] || stop "$code" "berth prepare failed with exit code $code"
  fi
fi

# srun starts and signals the ranks itself where it speaks PMIx with them; else mpirun does, inside the same allocation.
export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-}
[ -n "$SRUN_CPUS_PER_TASK" ] || unset SRUN_CPUS_PER_TASK
if srun --mpi=list 2>&1 | grep -w pmix >/dev/null; then
  # Ranks that leave with 75 are no reason to kill one that still closes its files; of a rank that is killed MPI hears, or after a minute srun.
  launch=(srun --mpi=pmix --kill-on-bad-exit=0 --wait=60)
else
  say "srun has no PMIx here: mpirun starts the ranks"
  . "$root/launcher/setup/mpi_env.sh"
  launch=("$root/slurm/mpirun_job.sh" mpirun -np "$SLURM_NTASKS")
fi
before=$(steps_done)
restarts=0
# What this job began afresh is gone on with. (An attempt may have ended before berth began anything.)
begun() { grep -qs "\"slurm_job_id\": \"$SLURM_JOB_ID\"" "$OUTPUT_DIR/provenance.json" "$OUTPUT_DIR"/trial-*/provenance.json; }
once() { if begun; then sed -E 's/--overwrite[-_]output[-_]dir( true|=true)?//g' <<<"$TRAIN_OPTIONS"; else echo "$TRAIN_OPTIONS"; fi; }
[ "$attempt" = 1 ] || TRAIN_OPTIONS=$(once)
if [ "$CHECK" = 1 ]; then
  [ "$subcommand" = train ] && check=("$OUTPUT_DIR" "$TRAIN_OPTIONS") || check=("$OUTPUT_DIR/trial" "$trial_options")
  # shellcheck disable=SC2086
  run "${launch[@]}" "$BERTH" check --model "$MODEL" --data "$DATA" --output-dir "${check[0]}" ${check[1]}
  code=$?
  [ "$code" != 75 ] || requeue "$before"
  [ "$code" = 0 ] || stop "$code" "berth check ended with exit code $code: not started, not requeued"
fi
while :; do
  # shellcheck disable=SC2086
  run "${launch[@]}" "$BERTH" "$subcommand" --model "$MODEL" --data "$DATA" --output-dir "$OUTPUT_DIR" $TRAIN_OPTIONS
  code=$?
  # A trial that takes the ranks down with it does not end the sweep, which gives it up after three times.
  [ "$subcommand" = sweep ] && [ "$asked" = 0 ] && [ "$restarts" -lt 20 ] && { [ "$code" = 1 ] || [ "$code" -ge 128 ]; } || break
  restarts=$((restarts + 1))
  TRAIN_OPTIONS=$(once)
  say "berth sweep ended with exit code $code in the middle of its trials: started again"
done
case "$code" in
  0) rm -f "$OUTPUT_DIR.stalled"; say "done: $OUTPUT_DIR" ;;
  75) requeue "$before" ;;
  *) say "berth $subcommand failed with exit code $code: not requeued" >&2 ;;
esac
exit "$code"

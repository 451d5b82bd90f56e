#!/usr/bin/env bash
#SBATCH --job-name=berth-sweep
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=2
#SBATCH --time=01:00:00
#SBATCH --output=%x-%j.log
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:USR1@120
#
# Many fine-tunings in one allocation, as many at a time as it has tasks (or groups of --ranks-per-trial of them), and which is best.
#   sbatch slurm/sweep.sh                                                        the demo
#   TRAIN_FILE=my.csv MODEL=/models/bert OUTPUT_DIR=runs/my SWEEP_OPTIONS="--search learning-rate=1e-5,2e-5,5e-5 --num-seeds 5" \
#     sbatch --nodes=2 --ntasks-per-node=8 --gpus-per-node=8 slurm/sweep.sh
# All else is as in finetune.sh: its options (of which CHECK=1 checks one trial, by TRAIN_OPTIONS, on all ranks), the signal before the time is
# up, requeues, and that it goes on where it was.
: "${SWEEP_OPTIONS:=--search learning-rate=2e-5,5e-5 --num-seeds 2}" # what is tried, separated by blanks
: "${TRAIN_OPTIONS:=--eval-strategy epoch --metric-for-best-model accuracy}" # what all trials have in common; SWEEP_OPTIONS come after them

trial_options=$TRAIN_OPTIONS
TRAIN_OPTIONS="$TRAIN_OPTIONS $SWEEP_OPTIONS"
for attempts in 1 2 3 4 5; do # a controller that is busy does not answer
  script=$(scontrol show job "$SLURM_JOB_ID" | sed -nE 's/^ *Command=([^ ]+).*/\1/p' | head -1)
  [ -z "$script" ] && [ "$attempts" -lt 5 ] || break
  sleep 2
done
. "$(dirname "${script:?scontrol does not tell where this script is}")/finetune.sh"

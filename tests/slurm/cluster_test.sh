#!/usr/bin/env bash
# cluster_test.sh BERTH: what a cluster does to jobs of slurm/finetune.sh, on a real Slurm: another job preempts them, their time runs out, they are the
# tasks of an array, their newest checkpoint is damaged, they have two nodes. Each ends with the weights of an undisturbed job.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/cluster.sh"
. "$here/tiny_model.sh"
begin_cluster_test "$1"

submit() { # NAME SBATCH-OPTION…
  local name=$1
  shift
  sbatch --parsable --job-name="$name" --output="$name.log" "$@" "$here/../../slurm/finetune.sh"
}
same_weights() { cmp "runs/$1/model.safetensors" "runs/${2:-whole}/model.safetensors"; }

same_weights() { cmp "runs/$1/model.safetensors" "runs/${2:-whole}/model.safetensors"; }

# In a minute of its own, beside all others.
endless=$(TRAIN_OPTIONS="--from-scratch --max-steps 100000000 --logging-steps 1000 --save-strategy no" submit endless --partition=urgent --ntasks-per-node=1 --time=1 --signal=B:CONT@1)

export TRAIN_OPTIONS="--from-scratch --max-steps 2000 --logging-steps 20 --save-steps 100 --per-device-train-batch-size 16"
job=$(submit whole)
expect "an undisturbed job ends well" ends "$job" COMPLETED

preempt() {
  local urgent
  urgent=$(sbatch --parsable --partition=urgent --ntasks="$((4 * cluster_nodes - 1))" --output=/dev/null --wrap="sleep 1")
  ends "$urgent" COMPLETED
}
job=$(submit preempted)
expect "a job is under way" wait_until 120 steps_logged preempted
expect "a job of a partition that comes first takes its place" preempt
expect "the preempted job ends well" ends "$job" COMPLETED
expect "after one requeue, of which Slurm knows" restarts "$job" 1
expect "from a checkpoint that it wrote when it was told" grep -q 'stopped early on signal 15' preempted.log
expect "with the weights of the undisturbed job" same_weights preempted

job=$(submit killed --partition=graceless)
expect "a job that will not be told is under way" wait_until 120 steps_logged killed 10
expect "it is preempted" preempt
expect "and ends well" ends "$job" COMPLETED
expect "after one requeue" restarts "$job" 1
expect "with the same weights" same_weights killed

printf '%s\n' --seed=42 --seed=43 --seed=42 >lines
job=$(OPTIONS_FILE=$PWD/lines submit array --array=1-3 --ntasks-per-node=1)
expect "an array's third task is under way" wait_until 120 steps_logged array-3
scancel --signal=USR1 --batch "${job}_3"
for task in 1 2 3; do expect "task $task ends well" ends "${job}_$task" COMPLETED; done
expect "the third after a requeue of its own" restarts "${job}_3" 1
expect "the others without" restarts "${job}_1" 0
expect "tasks have the options of their lines" sh -c '! cmp -s runs/array-1/model.safetensors runs/array-2/model.safetensors'
expect "and those of the same options the same weights" same_weights array-3 array-1

job=$(submit damaged)
expect "a job is under way" wait_until 120 steps_logged damaged 20
scancel "$job"
expect "scancel ends it" ends "$job" CANCELLED
newest=$(ls -d runs/damaged/checkpoint-* | sort -V | tail -1)
printf damage | dd of="$newest/model.safetensors" bs=1 seek=1000 conv=notrunc status=none
expect "its newest checkpoint is damaged; the same sbatch" ends "$(submit damaged)" COMPLETED
expect "sets it aside" grep -q "$newest.*; the checkpoint is set aside as" damaged.log
expect "and ends with the same weights" same_weights damaged

if [ "$cluster_nodes" = 2 ]; then
  job=$(submit both --nodes=2 --ntasks-per-node=1)
  expect "a job on two nodes is under way" wait_until 120 steps_logged both
  scancel --signal=USR1 --batch "$job"
  expect "signalled, it ends well" ends "$job" COMPLETED
  expect "with a rank on each" grep -q "2 ranks on 2 nodes (n\[1-2\])" both.log
  expect "that are hosts of their own to MPI" grep -q "2 ranks on 2 hosts" both.log
  expect "after one requeue" restarts "$job" 1
  expect "with the same weights" same_weights both
else
  echo "not run: two nodes on one machine need unshare --mount --uts, which is not allowed here"
fi

job=$endless
expect "berth knew when the job would end" wait_until 120 grep -q "the job's time is nearly up: it saves and stops" endless.log
expect "and went on after a requeue" wait_until 120 grep -q "attempt 2:" endless.log
scancel "$job"
expect "of a job that had to be cancelled" ends "$job" CANCELLED

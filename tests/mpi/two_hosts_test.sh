#!/usr/bin/env bash
# two_hosts_test.sh BERTH: one job on two hosts, which are namespaces of this machine with a link between them (root, iproute2). The bits are
# those of one host. A rank that is stopped on the other host is named; when the link is cut, all that can no longer be reached are, and
# nothing is left on either host. With the link back, the same command goes on to the bits of a run that was left alone.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
berth=$1
. "$here/../slurm/tiny_model.sh"
. "$here/../slurm/cluster.sh"
. "$here/../../launcher/setup/mpi_env.sh"

skip() {
  echo "not run, a job on two hosts: $*"
  exit 77
}
[ "$(id -u)" = 0 ] || skip "needs root"
command -v ip >/dev/null || skip "needs the command ip (launcher/setup/install_deps.sh slurm)"
host=berth$$-
folder=$(mktemp -d "${TMPDIR:-/tmp}/berth-hosts.XXXXXX")
clean_up() {
  for n in 1 2; do
    for process in $(ip netns pids $host$n 2>/dev/null); do kill -9 "$process" 2>/dev/null || true; done
    ip netns del $host$n 2>/dev/null || true
  done
  rm -rf "$folder"
}
trap clean_up EXIT
ip netns add ${host}1 2>/dev/null || skip "this kernel or container lets nobody make network namespaces"
ip netns add ${host}2
ip link add up1 netns ${host}1 type veth peer name up2 netns ${host}2
for n in 1 2; do
  ip -n $host$n link set lo up
  ip -n $host$n addr add 10.77.0.$n/24 dev up$n
  ip -n $host$n link set up$n up
done

cd "$folder"
tiny_model tiny
"$berth" prepare --task classification --train-file "$here/../../data/demo/train.csv" --tokenizer tiny --output demo.h5 >prepare.log
export OMP_NUM_THREADS=1 OMPI_MCA_pml=ob1 OMPI_MCA_btl=tcp,self
export OMPI_MCA_btl_tcp_if_include=10.77.0.0/24 OMPI_MCA_oob_tcp_if_include=10.77.0.0/24

# job HOSTS RANKS_OF_A_HOST RUN [mpirun's options]: its exit code.
job() {
  local hosts=10.77.0.1:$2 code=0
  [ "$1" = 1 ] || hosts=$hosts,10.77.0.2:$2
  "$here/on_host.sh" "$host" 10.77.0.1 mpirun --mca plm_rsh_agent "'$here/on_host.sh $host'" --host "$hosts" -np $(($1 * $2)) "${@:4}" "$berth" train \
    --model tiny --from-scratch --data demo.h5 --output-dir "$3" --max-steps 60 --save-steps 20 --eval-strategy no --logging-steps 1 \
    --per-device-train-batch-size 8 --ddp-timeout 5 --disable-tqdm --trace-steps 10-11 >>"$3.log" 2>&1 || code=$?
  echo $code
}
fail() {
  echo "FAILED: $*" >&2
  tail -n 30 ./*.log >&2
  exit 1
}
same() { cmp "$1/model.safetensors" "$2/model.safetensors" || fail "$1 and $2 differ"; }
steps() { if [ -s "$1/metrics.jsonl" ]; then wc -l <"$1/metrics.jsonl"; else echo 0; fi; }
reached() { [ "$(steps "$1")" -ge "$2" ]; }
# A host that is there refuses what nobody listens to.
reaches() { [[ $(ip netns exec "$host$1" bash -c ": <>/dev/tcp/10.77.0.$2/9" 2>&1) == *refused* ]]; }
linked() { reaches 1 2 && reaches 2 1; }
nothing_runs() { [ -z "$(ip netns pids ${host}1)$(ip netns pids ${host}2)" ]; }

wait_until 30 linked || fail "the hosts do not reach each other"
[ "$(job 1 2 one)" = 0 ] || fail "two ranks on one host"
[ "$(job 2 1 two)" = 0 ] || fail "two ranks on two hosts"
grep -q "2 ranks on 2 hosts" two.log || fail "two hosts were taken for one"
same one two
grep -q '"name":"all-gather"' two/trace.json || fail "the timeline of two hosts has no all-gather"
echo "ok: two ranks on two hosts have the bits of one host"

job 2 2 stopped -x BERTH_FAILPOINT=step@5:HOLD -x BERTH_FAILPOINT_HOLD="$folder/go_on_stopped" >code &
wait_until 120 reached stopped 4 || fail "no 4 steps were logged"
for process in $(ip netns pids ${host}2); do
  if tr '\0' ' ' <"/proc/$process/cmdline" | grep -q "^$berth train"; then break; fi
done
kill -STOP "$process"
touch go_on_stopped
wait $!
[ "$(cat code)" != 0 ] || fail "exit code 0 although a rank was stopped"
grep -q "rank [23] on host ${host}2 did not arrive: it is stopped: kill -CONT $process lets it go on" stopped.log || fail "the stopped rank was not named"
wait_until 60 nothing_runs || fail "left over: $(ps -ef)"
echo "ok: a rank that was stopped on the other host is named, by the one beside it; nothing left"

[ "$(job 2 2 alone)" = 0 ] || fail "four ranks on two hosts"
job 2 2 cut -x BERTH_FAILPOINT=step@35:HOLD -x BERTH_FAILPOINT_HOLD="$folder/go_on" >code &
wait_until 120 reached cut 34 || fail "no 34 steps were logged"
ip -n ${host}1 link set up1 down
touch go_on
wait $!
code=$(cat code)
[ "$code" != 0 ] && [ "$code" != 75 ] || fail "exit code $code although the link was cut"
for rank in 2 3; do
  grep -q "rank $rank on host ${host}2 did not arrive: it gives no answer: stopped, gone or cut off" cut.log || fail "rank $rank was not named"
done
wait_until 60 nothing_runs || fail "left over: $(ps -ef)"
echo "ok: the link was cut at step $(steps cut): ranks 2 and 3 named, exit code $code, nothing left"

ip -n ${host}1 link set up1 up
wait_until 30 linked || fail "the link does not come back"
[ "$(job 2 2 cut)" = 0 ] || fail "the run did not go on"
grep -q '"from_step": 20' cut/provenance.json || fail "the run did not go on from its checkpoint"
same alone cut
echo "ok: gone on from step 20 to the bits of a run that was left alone"

# Sourced by the Slurm tests: a real Slurm (munged, slurmctld, slurmds) of two nodes with all of its state in a temporary folder, as root. Nothing
# of the machine's own Slurm or MUNGE, if it has any, is touched.

# begin_cluster_test BERTH: a cluster of its own and an empty folder to work in, with a tiny model, all of it gone when the test ends. Where there
# can be no Slurm the test ends as not run.
begin_cluster_test() {
  local program
  for program in slurmctld slurmd munged sbatch; do
    if [ "$(id -u)" != 0 ] || ! command -v "$program" >/dev/null; then
      echo "not run: slurm/finetune.sh on a real Slurm needs root and $program (launcher/setup/install_deps.sh slurm)"
      exit 77
    fi
  done
  folder=$(mktemp -d "${TMPDIR:-/tmp}/berth-slurm.XXXXXX")
  trap 'scancel --me 2>/dev/null; stop_cluster "$folder"; rm -rf "$folder"' EXIT
  start_cluster "$folder"
  mkdir "$folder/work"
  cd "$folder/work"
  tiny_model tiny
  export BERTH=$1 MODEL=$PWD/tiny OMP_NUM_THREADS=1
  unset TRAIN_FILE VALIDATION_FILE TEST_FILE OUTPUT_DIR DATA TRAIN_OPTIONS PREPARE_OPTIONS SWEEP_OPTIONS OPTIONS_FILE
}

# start_cluster FOLDER: returns when the nodes n1 and n2 are idle; sets SLURM_CONF. Each is a host of its own to what runs there (a UTS
# namespace); where namespaces are not allowed there is n1 alone, and cluster_nodes says 1. Jobs of the partition
# urgent preempt those of main, which have 30 seconds to end, and of graceless.
start_cluster() {
  local folder=$1 ports node
  cluster_nodes=2
  unshare --mount --uts true 2>/dev/null || cluster_nodes=1
  mkdir -p "$folder"/{munge,state,spool,log,pmix}
  chmod 755 "$folder" "$folder/munge"
  head -c 1024 /dev/urandom >"$folder/munge/key"
  chmod 600 "$folder/munge/key"
  munged --force --key-file="$folder/munge/key" --socket="$folder/munge/socket" --pid-file="$folder/munge/pid" \
    --log-file="$folder/munge/log" --seed-file="$folder/munge/seed" 2>>"$folder/log/munged"

  mapfile -t ports < <(free_ports 3)
  export SLURM_CONF="$folder/slurm.conf"
  cat >"$SLURM_CONF" <<CONF
ClusterName=berth
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
SlurmdUser=root
# A requeued job may start again when its old credential has expired: after 5 seconds here, not 120.
AuthInfo=socket=$folder/munge/socket,cred_expire=5
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.%n.pid
SlurmctldLogFile=$folder/log/slurmctld
SlurmdLogFile=$folder/log/slurmd.%n
SlurmctldPort=${ports[0]}
# Open MPI names its segments in /dev/shm by host, user and job: of two such clusters on one machine the jobs must differ.
FirstJobId=$(($$ * 15 % 67000000 + 1))
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,bf_interval=2
SlurmdParameters=config_overrides
KillWait=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
$(for ((node = 1; node <= cluster_nodes; ++node)); do
    host=$([ "$cluster_nodes" = 1 ] && hostname -s || echo "n$node")
    echo "NodeName=n$node NodeHostname=$host NodeAddr=127.0.0.1 Port=${ports[node]} CPUs=4 State=UNKNOWN"
  done)
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE PriorityTier=1 GraceTime=30
PartitionName=graceless Nodes=ALL MaxTime=INFINITE PriorityTier=1 GraceTime=0
PartitionName=urgent Nodes=ALL MaxTime=INFINITE PriorityTier=2 PreemptMode=OFF
CONF
  echo "PMIxCliTmpDirBase=$folder/pmix" >"$folder/mpi.conf"
  slurmctld 2>>"$folder/log/slurmctld.start"
  if [ "$cluster_nodes" = 1 ]; then
    slurmd -N n1 2>>"$folder/log/slurmd.start"
  else
    for node in n1 n2; do # PMIx takes names of files for a node's own
      unshare --mount --uts sh -c "hostname $node && mount -t tmpfs none '$folder/pmix' && exec slurmd -N $node" 2>>"$folder/log/slurmd.start"
    done
  fi
  wait_until 60 nodes_are_idle || { tail -n 20 "$folder"/log/* >&2; return 1; }
}

stop_cluster() {
  local folder=$1 file pid
  for file in "$folder"/slurmd.n?.pid "$folder/slurmctld.pid" "$folder/munge/pid"; do
    [ -s "$file" ] || continue
    pid=$(cat "$file")
    kill "$pid" 2>/dev/null || true
    wait_until 30 is_gone "$pid" || echo "process $pid of the test's Slurm does not end" >&2
  done
}

is_gone() { ! kill -0 "$1" 2>/dev/null; }

nodes_are_idle() { [ "$(sinfo --noheader --partition=main --format=%D%t 2>/dev/null)" = "${cluster_nodes}idle" ]; }

# wait_until SECONDS COMMAND…: polls until the command succeeds.
wait_until() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.2
  done
}

free_ports() {
  local port found=0
  for port in $(shuf -i 20000-29999 -n 200); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && continue
    echo "$port"
    found=$((found + 1))
    [ "$found" -lt "$1" ] || return 0
  done
}

# job_field JOB FIELD: one Field=value of scontrol show job.
job_field() { scontrol show job "$1" 2>/dev/null | grep -oE "\b$2=[^ ]*" | head -1 | cut -d= -f2-; }

# Of a test's jobs, whose logs are NAME.log in its folder and whose runs are runs/NAME.
expect() { # WHAT COMMAND…
  local what=$1
  shift
  if ! "$@" >/dev/null; then
    echo "FAILED: $what ($*)" >&2
    scontrol show job >&2 || true
    tail -n 60 ./*.log "${SLURM_CONF%/*}/log/slurmctld" >&2
    exit 1
  fi
  echo "ok: $what"
}
state() { job_field "$1" JobState; }
ended() { [[ $(state "$1") =~ ^(COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL)$ ]]; }
ends() { wait_until "${3:-180}" ended "$1" && [ "$(state "$1")" = "$2" ]; }
restarts() { [ "$(job_field "$1" Restarts)" = "$2" ]; }
steps_logged() { [ -s "runs/$1/metrics.jsonl" ] && [ "$(wc -l <"runs/$1/metrics.jsonl")" -ge "${2:-3}" ]; }

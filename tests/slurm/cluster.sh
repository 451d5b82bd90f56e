# Sourced by the Slurm tests: a real one-node Slurm (munged, slurmctld, slurmd) with all of its state in a temporary folder, as root.
# Nothing of the machine's own Slurm or MUNGE, if it has any, is touched.

# start_cluster FOLDER: returns when the node is idle; sets SLURM_CONF.
start_cluster() {
  local folder=$1 host ports
  host=$(hostname -s)
  mkdir -p "$folder"/{munge,state,spool,log}
  chmod 755 "$folder" "$folder/munge"
  head -c 1024 /dev/urandom >"$folder/munge/key"
  chmod 600 "$folder/munge/key"
  munged --force --key-file="$folder/munge/key" --socket="$folder/munge/socket" --pid-file="$folder/munge/pid" \
    --log-file="$folder/munge/log" --seed-file="$folder/munge/seed" 2>>"$folder/log/munged"

  mapfile -t ports < <(free_ports 2)
  export SLURM_CONF="$folder/slurm.conf"
  cat >"$SLURM_CONF" <<CONF
ClusterName=berth
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
# A requeued job may start again when its old credential has expired: after 5 seconds here, not 120.
AuthInfo=socket=$folder/munge/socket,cred_expire=5
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld
SlurmdLogFile=$folder/log/slurmd
SlurmctldPort=${ports[0]}
SlurmdPort=${ports[1]}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,bf_interval=2
SlurmdParameters=config_overrides
KillWait=5
NodeName=$host NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
  slurmctld 2>>"$folder/log/slurmctld.start"
  slurmd -N "$host" 2>>"$folder/log/slurmd.start"
  wait_until 60 node_is_idle || { tail -n 20 "$folder"/log/* >&2; return 1; }
}

stop_cluster() {
  local folder=$1 file pid
  for file in "$folder/slurmd.pid" "$folder/slurmctld.pid" "$folder/munge/pid"; do
    [ -s "$file" ] || continue
    pid=$(cat "$file")
    kill "$pid" 2>/dev/null || true
    wait_until 30 is_gone "$pid" || echo "process $pid of the test's Slurm does not end" >&2
  done
}

is_gone() { ! kill -0 "$1" 2>/dev/null; }

node_is_idle() { [ "$(sinfo --noheader --format=%t 2>/dev/null)" = idle ]; }

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

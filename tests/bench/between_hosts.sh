#!/usr/bin/env bash
# between_hosts.sh PROGRAM [HOSTS] [MBIT] [ARGUMENT…]: PROGRAM (build/comm_bench, say) with one rank on each of so many hosts, which are
# namespaces of this machine; what each sends is held to MBIT/s, 0: to nothing (as root; iproute2).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=$(realpath "$1") hosts=${2:-4} mbit=${3:-1000}
. "$here/../../launcher/setup/mpi_env.sh"
prefix=bench$$-
clean_up() {
  for n in $(seq 0 "$hosts"); do ip netns del $prefix"$n" 2>/dev/null || true; done
}
trap clean_up EXIT
ip netns add ${prefix}0  # the switch
ip -n ${prefix}0 link add switch type bridge
ip -n ${prefix}0 link set switch up
list=
for n in $(seq "$hosts"); do
  ip netns add "$prefix$n"
  ip link add eth0 netns "$prefix$n" type veth peer name "port$n" netns ${prefix}0
  ip -n ${prefix}0 link set "port$n" master switch up
  ip -n "$prefix$n" link set lo up
  ip -n "$prefix$n" addr add "10.78.0.$n/24" dev eth0
  ip -n "$prefix$n" link set eth0 up
  [ "$mbit" = 0 ] || ip netns exec "$prefix$n" tc qdisc add dev eth0 root tbf rate "${mbit}mbit" burst 256kb latency 100ms
  list+=,10.78.0.$n:1
done
export OMP_NUM_THREADS=1 OMPI_MCA_pml=ob1 OMPI_MCA_btl=tcp,self OMPI_MCA_mpi_yield_when_idle=1
export OMPI_MCA_btl_tcp_if_include=10.78.0.0/24 OMPI_MCA_oob_tcp_if_include=10.78.0.0/24
"$here/../mpi/on_host.sh" "$prefix" 10.78.0.1 mpirun --mca plm_rsh_agent "'$here/../mpi/on_host.sh $prefix'" --host "${list#,}" -np "$hosts" "$program" "${@:4}"

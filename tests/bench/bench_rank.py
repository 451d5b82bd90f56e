"""One rank of a job, on cores of its own, and its peak memory.

  bench_rank.py THREADS OUT COMMAND…

The rank is the one that mpirun or torchrun's variables name; of the cores that the job may use it gets THREADS, rank 0 the first ones. OUT.RANK becomes
its peak memory in kB: resident, pages that several processes share counted in equal parts (Pss, looked at twice a second; a rank that ended
sooner: ru_maxrss). OUT-pid.RANK is its process meanwhile.
"""
import os, sys, threading


def watch(pid, ended, sizes):
    while not ended.wait(0.5):
        try:
            with open(f"/proc/{pid}/smaps_rollup") as rollup:
                sizes += (int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
        except OSError:  # it has ended
            return


def main():
    threads, out, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    rank = int(os.environ.get("OMPI_COMM_WORLD_LOCAL_RANK", os.environ.get("LOCAL_RANK", 0)))
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < (rank + 1) * threads:
        sys.exit(f"bench_rank.py: rank {rank} needs {threads} cores of its own, there are {len(cores)} in all: see --ranks")
    os.sched_setaffinity(0, cores[rank * threads : (rank + 1) * threads])
    pid = os.posix_spawnp(command[0], command, os.environ)
    with open(f"{out}-pid.{rank}", "w") as file:
        file.write(str(pid))
    ended, sizes = threading.Event(), []
    watcher = threading.Thread(target=watch, args=(pid, ended, sizes))
    watcher.start()
    _, status, usage = os.wait4(pid, 0)
    ended.set()
    watcher.join()
    with open(f"{out}.{rank}", "w") as file:
        file.write(str(max(sizes, default=usage.ru_maxrss)))
    sys.exit(os.waitstatus_to_exitcode(status) & 255)


main()

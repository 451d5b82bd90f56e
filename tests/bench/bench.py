"""berth beside what people use instead, on this machine: `make bench`, or `make bench-quick` in under five minutes.

  bench.py --build build --model DIR [--jobs sst2,conll,predict] [--modes fp32,bf16] [--ranks 1,2,1x2] [--rounds N] [--steps N] [--quick]
           [--work FOLDER] [--results FOLDER] [--table]

Each job is trained for the same number of steps over the same rows by berth and by Hugging Face's Trainer, with each of its samplers that makes a difference; a round runs
every program once, in turns, then the products of the model's matrices alone. 1x2: one rank of two threads; else a rank has one. Every rank is pinned to cores of its own, on
both sides in the same way. The first steps are left out on both sides; a speed is real tokens a second from the end of the last of these to the end of the last step, by each
program's clock. predict, prepare and text (one text's prediction) compare whole processes.

What was measured is appended to WORK/runs.jsonl, so that a bench that was interrupted goes on by the same command; what failed is tried again. --table measures
nothing. RESULTS becomes bench.json (with all rounds), bench.md and plots. BERTH_DATASETS: the folder with the data sets. Needs the Python of tests/support/reference_env.sh.
"""
import argparse, importlib.metadata, json, os, pathlib, platform, re, signal, subprocess, sys, time

import bench_programs, bench_table
from bench_programs import JOBS, Programs

# Other jobs: programs in turn, layouts, rounds.
OTHERS = {"predict": (["transformers", "berth", "products"], "1,1x2", 2), "text": (["transformers", "berth"], "1x2", 3), "prepare": (["tokenizers", "berth"], "1,1x2", 3)}
QUICK = {"jobs": "sst2,predict,prepare", "ranks": "2", "rounds": 1, "steps": 8}
ROOT = pathlib.Path(__file__).resolve().parents[2]
ISA = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "sve", "bf16")


def machine_of(berth):
    """What the numbers depend on. Runs of another machine or commit do not belong to them."""
    text = pathlib.Path("/proc/cpuinfo").read_text()
    field = lambda name: (re.search(rf"^{name}\s*:\s*(.*)$", text, re.M) or ["", ""])[1]
    flags = (field("flags") or field("Features")).split()
    output = lambda *command: subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout.strip().split("\n")[0]
    changed = output("git", "status", "--porcelain", "--untracked-files=no", "--", ".", ":!tests/bench/results")  # which --table writes itself
    return {"commit": output("git", "describe", "--always", "--abbrev=7") + ("-dirty" if changed else ""), "cpu": field("model name") or platform.machine(),
            "isa": [name for name in ISA if name in flags], "cores": len(os.sched_getaffinity(0)),
            "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1), "kernel": platform.release(),
            "berth": output(berth, "--version"), "mpi": output("mpirun", "--version"), "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in ("torch", "transformers", "accelerate", "tokenizers")}}


def options(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build")
    parser.add_argument("--model", default="")
    parser.add_argument("--jobs")
    parser.add_argument("--modes", default="fp32,bf16")
    parser.add_argument("--ranks", help="of training; default: those of each job")
    parser.add_argument("--rounds", type=int, help="default: those of each job")
    parser.add_argument("--steps", type=int, help="of each training, default: those of each job")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--work")
    parser.add_argument("--results")
    parser.add_argument("--table", action="store_true")
    a = parser.parse_args(arguments)
    for name, value in QUICK.items() if a.quick else ():
        if getattr(a, name) is None:
            setattr(a, name, value)
    a.jobs = (a.jobs or ",".join([*JOBS, *OTHERS])).split(",")
    a.modes = a.modes.split(",")
    a.work = pathlib.Path(a.work or pathlib.Path(a.build) / ("bench-quick" if a.quick else "bench"))
    a.results = pathlib.Path(a.results or (a.work if a.quick else ROOT / "tests/bench/results"))
    for name, known, given in (("--jobs", [*JOBS, *OTHERS], a.jobs), ("--modes", ["fp32", "bf16"], a.modes)):
        if unknown := set(given) - set(known):
            parser.error(f"{name}: {', '.join(sorted(unknown))} is not known; there are {', '.join(known)}")
    if a.ranks and not all(re.fullmatch(r"[1-9]\d*(x[1-9]\d*)?", layout) for layout in a.ranks.split(",")):
        parser.error(f"--ranks {a.ranks}: ranks, or ranks x threads, as in 1,2,1x2")
    for job in set(a.jobs) & set(JOBS):
        if a.steps and a.steps <= JOBS[job].steps[0]:
            parser.error(f"--steps {a.steps}: the first {JOBS[job].steps[0]} of {job} are left out")
    return a


def cells_of(a):
    """What is to be measured: (its key in runs.jsonl, program) in the order of running, round by round."""
    for name in a.jobs:
        training = name in JOBS
        layouts, rounds = (JOBS[name].layouts, JOBS[name].rounds) if training else OTHERS[name][1:]
        for layout in (a.ranks if training and a.ranks else layouts).split(","):
            for mode in a.modes if training else ["fp32"]:
                for turn in range(a.rounds or rounds):
                    programs = bench_programs.programs_of(JOBS[name], layout) if training else OTHERS[name][0]
                    for program in programs:
                        yield {"job": name, "mode": mode, "ranks": layout, "program": program, "round": turn + 1,
                               "steps": (a.steps or JOBS[name].steps[1]) if training else 0}


def measure(programs, cell, quick):
    name, program, layout = cell["job"], cell["program"], cell["ranks"]
    if name == "prepare":
        return programs.prepare(program, layout)
    if name in OTHERS and program == "products":
        return programs.products_of("MiniLM", layout, 1024, "fp32")
    if name in OTHERS:
        return programs.predict(program, layout, 1 if name == "text" else 1000 if quick else 4000)
    of_training = (name, cell["mode"], layout)
    if program == "products":
        return programs.products(*of_training, cell["steps"])
    steps = (JOBS[name].steps[0], cell["steps"])
    if program == "berth":
        return programs.train_berth(*of_training, *steps)
    return programs.train_reference(*of_training, *steps, bench_programs.SAMPLERS[program])


def earlier_runs(path, machine):
    """The runs that are there, of this machine and commit."""
    if not path.exists():
        path.write_text(json.dumps({"machine": machine}) + "\n")
        return []
    head, *runs = map(json.loads, path.read_text().splitlines())
    if differ := [key for key in machine if head["machine"].get(key) != machine[key]]:
        sys.exit(f"bench.py: {path} is of another {', '.join(differ)}: remove it, or give another folder with --work")
    return runs


def main():
    a = options(sys.argv[1:])
    runs_file = a.work / "runs.jsonl"
    if not a.table:
        for what, path in (("--build", pathlib.Path(a.build) / "berth"), ("--model", pathlib.Path(a.model) / "config.json"), ("BERTH_DATASETS", os.environ.get("BERTH_DATASETS", ""))):
            if not path or not os.path.exists(path):
                print(f"bench.py: {what}: {str(path) or 'not set'}: there is nothing", file=sys.stderr)
                sys.exit(2)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # which ends what runs, as Ctrl-C does
        programs = Programs(a.build, a.model, a.work)
        done = earlier_runs(runs_file, machine_of(programs.berth))
        key = lambda run: tuple(run[name] for name in ("job", "mode", "ranks", "program", "round", "steps"))
        known = {key(run) for run in done if "error" not in run}
        cells = list(cells_of(a))
        for number, cell in enumerate(cells, 1):
            if key(cell) in known:
                continue
            began = time.time()
            try:
                result = measure(programs, cell, a.quick)
            except Exception as error:  # the others are measured all the same
                result = {"error": f"{type(error).__name__}: {error}"}
            run = cell | {"load": round(os.getloadavg()[0], 2)} | result
            with open(runs_file, "a", encoding="utf-8") as out:
                out.write(json.dumps(run) + "\n")
            what = result.get("error") or ", ".join(f"{name} {result[name]:.5g}" for name in ("tokens_per_second", "gflops", "peak_mb", "seconds") if name in result)
            print(f"{number}/{len(cells)} {cell['job']} {cell['mode']} {cell['ranks']} round {cell['round']}, {cell['program']}: {what} ({time.time() - began:.0f} s)", flush=True)
    head, *runs = map(json.loads, runs_file.read_text().splitlines())
    if not runs:
        sys.exit(f"bench.py: {runs_file} has no runs")
    print(bench_table.write(head["machine"], runs, a.results))
    sys.exit(1 if bench_table.failures(runs) else 0)


if __name__ == "__main__":
    main()

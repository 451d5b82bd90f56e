"""Two hosts of one rank, namespaces of this machine with TCP between them, against two ranks of one host, by turns (as root; iproute2).

  python tests/bench/two_hosts_bench.py --build build --model $(launcher/setup/get_model.sh) --data sst2.h5 [--mbit 0] [--rounds 3] [--steps 60]
      [--batch 16] [--timeline FILE.svg] [OPTION of berth train…]

Also with one bucket for all gradients, which is ready when backward has ended, and whose values the next forward pass needs at once: what overlap
hides. Prints a line a way: medians of samples a second, of its ratio to one host, and of what a step's phases took, ms; then how the buckets lie in a
step, by `berth scale`. --timeline draws two steps of two further runs, with and without overlap, from `berth train --trace-steps`.
"""
import argparse, json, os, pathlib, statistics, subprocess, tempfile

HERE = pathlib.Path(__file__).resolve().parent
WAYS = {  # hosts, options
    "one host": (1, []),
    "two hosts": (2, []),
    "two hosts, 5 MB buckets": (2, ["--ddp-bucket-cap-mb", "5"]),
    "two hosts, one bucket": (2, ["--ddp-bucket-cap-mb", "4000"]),
    "two hosts, --zero 1": (2, ["--zero", "1"]),
}
DRAWN = {"two hosts": "two hosts", "two hosts, one bucket": "two hosts, one bucket: no overlap"}
COLOURS = {"forward": "#4c78a8", "backward": "#72a0c8", "optimizer": "#54a24b", "wait": "#e45756", "all-reduce of values": "#e45756",
           "all-reduce of gradients": "#f58518", "all-gather": "#b279a2"}
PHASES = ("forward", "backward", "reduce", "optimizer", "reduce_overlapped")


def draw(traces, file):
    """Of each trace two steps that take as long as most do, all ranks and threads."""
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "berth", "font.size": 8, "axes.spines.top": False, "axes.spines.right": False})
    from matplotlib import patches, pyplot
    longest = 0
    figure, every = pyplot.subplots(len(traces), 1, figsize=(9, 1.5 * len(traces)), sharex=True)
    for axes, (name, events) in zip(every, traces.items()):
        spans = [event for event in events if event["ph"] == "X"]
        threads = {(event["pid"], event["tid"]): event["args"]["name"] for event in events if event["name"] == "thread_name"}
        lanes = [(rank, thread) for rank in (0, 1) for thread in ("main", "communication")]
        steps = sorted((event["ts"], event["ts"] + event["dur"]) for event in spans if event["name"] == "step" and event["pid"] == 0)
        pairs = sorted((following[1] - one[0], one[0], following[1]) for one, following in zip(steps, steps[1:]))
        _, begin, end = pairs[len(pairs) // 2]
        for event in spans:
            if event["ts"] > end or event["ts"] + event["dur"] < begin:
                continue
            lane = (event["pid"], threads[event["pid"], event["tid"]])
            if event["name"] in COLOURS and lane in lanes:
                waits = COLOURS[event["name"]] == COLOURS["wait"]
                axes.barh(lanes.index(lane), event["dur"] / 1e3, 0.8, (event["ts"] - begin) / 1e3, color=COLOURS[event["name"]], zorder=2 + waits, linewidth=0)
        axes.set_yticks(range(len(lanes)), [f"rank {rank}, {thread}" for rank, thread in lanes])
        axes.invert_yaxis()
        axes.set_title(name, loc="left")
        longest = max(longest, (end - begin) / 1e3)
    every[-1].set_xlabel("ms")
    every[-1].set_xlim(-5, longest + 5)
    names = {"all-reduce of values": None, "wait": "waiting"}
    handles = [patches.Patch(color=colour, label=names.get(name, name)) for name, colour in COLOURS.items() if names.get(name, name)]
    figure.legend(handles=handles, frameon=False, ncols=len(handles), loc="upper center", bbox_to_anchor=(0.5, 0.02))
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None}, bbox_inches="tight")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("--build", "build"), ("--model", None), ("--data", None), ("--mbit", "0")):
        parser.add_argument(name, default=default, required=default is None)
    for name, default in (("--rounds", 3), ("--steps", 60), ("--batch", 16)):
        parser.add_argument(name, default=default, type=int)
    parser.add_argument("--timeline", type=pathlib.Path)
    options, more = parser.parse_known_args()
    berth = str(pathlib.Path(options.build).resolve() / "berth")
    environment = dict(os.environ, OMP_NUM_THREADS="1", OMPI_MCA_pml="ob1", OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    with tempfile.TemporaryDirectory() as folder:

        def start(hosts, command):
            one = ["mpirun", "-np", "2", "--bind-to", "core", berth]
            two = [HERE / "between_hosts.sh", berth, "2", options.mbit]
            subprocess.run([*(one if hosts == 1 else two), *command], env=environment, cwd=folder, check=True, stdout=subprocess.DEVNULL)

        traces = {}

        def train(name, hosts, with_options, traced):
            run = pathlib.Path(folder) / name.replace(" ", "-")
            start(hosts, ["train", "--model", pathlib.Path(options.model).resolve(), "--data", pathlib.Path(options.data).resolve(), "--output-dir", run,
                          "--max-steps", str(options.steps), "--per-device-train-batch-size", str(options.batch), "--logging-steps", str(options.steps),
                          "--save-strategy", "no", "--eval-strategy", "no", "--log-level", "warning", *with_options, *more,
                          *(["--trace-steps", f"{max(1, options.steps - 20)}-{options.steps}"] if traced else [])])
            if traced:
                traces[name] = json.loads((run / "trace.json").read_text())["traceEvents"]
            seconds = json.loads((run / "provenance.json").read_text())["jobs"][-1]["step_seconds"]
            speed = json.loads((run / "train_results.json").read_text())["train_samples_per_second"]
            subprocess.run(["rm", "-r", run], check=True)
            return {"speed": speed} | {phase: 1e3 * seconds[phase] / options.steps for phase in PHASES}

        rounds = []
        for _ in range(options.rounds):
            rounds.append({name: train(name, *way, traced=False) for name, way in WAYS.items()})
        median = lambda values: statistics.median(list(values))
        for name in WAYS:
            ratio = median(one[name]["speed"] / one["one host"]["speed"] for one in rounds)
            phases = ", ".join(f"{phase} {median(one[name][phase] for one in rounds):.1f}" for phase in PHASES)
            print(f"{name}: {median(one[name]['speed'] for one in rounds):.1f} samples/s, {ratio:.3f}; {phases}", flush=True)

        if options.timeline:
            for name in DRAWN:
                train(name, *WAYS[name], traced=True)
            draw({title: traces[name] for name, title in DRAWN.items()}, options.timeline)
        measured = pathlib.Path(folder) / "scale.json"
        start(2, ["scale", "--model", pathlib.Path(options.model).resolve(), "--data", pathlib.Path(options.data).resolve(), "--max-steps", "20",
                  "--per-device-train-batch-size", str(options.batch), "--json", measured, *more])
        print(json.dumps(json.loads(measured.read_text())["measured"]["step"]))


main()

"""Two hosts of one rank, namespaces of this machine with TCP between them, against two ranks of one host, by turns (as root; iproute2).

  python tests/bench/two_hosts_bench.py --build build --model $(launcher/setup/get_model.sh) --data sst2.h5 [--mbit 0] [--rounds 3] [--steps 60]
      [--batch 16] [OPTION of berth train…]

Also with one bucket for all gradients, which is ready when backward has ended: what overlap hides. Prints a line a way: medians of samples a second, of
its ratio to one host, and of what a step's phases took, ms; then how the buckets lie in a step, by `berth scale`.
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
PHASES = ("forward", "backward", "reduce", "optimizer", "reduce_overlapped")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("--build", "build"), ("--model", None), ("--data", None), ("--mbit", "0")):
        parser.add_argument(name, default=default, required=default is None)
    for name, default in (("--rounds", 3), ("--steps", 60), ("--batch", 16)):
        parser.add_argument(name, default=default, type=int)
    options, more = parser.parse_known_args()
    berth = str(pathlib.Path(options.build).resolve() / "berth")
    environment = dict(os.environ, OMP_NUM_THREADS="1", OMPI_MCA_pml="ob1", OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    with tempfile.TemporaryDirectory() as folder:

        def start(hosts, command):
            one = ["mpirun", "-np", "2", "--bind-to", "core", berth]
            two = [HERE / "between_hosts.sh", berth, "2", options.mbit]
            subprocess.run([*(one if hosts == 1 else two), *command], env=environment, cwd=folder, check=True, stdout=subprocess.DEVNULL)

        def train(name, hosts, with_options):
            run = pathlib.Path(folder) / name.replace(" ", "-")
            start(hosts, ["train", "--model", pathlib.Path(options.model).resolve(), "--data", pathlib.Path(options.data).resolve(), "--output-dir", run,
                          "--max-steps", str(options.steps), "--per-device-train-batch-size", str(options.batch), "--logging-steps", str(options.steps),
                          "--save-strategy", "no", "--eval-strategy", "no", "--log-level", "warning", *with_options, *more])
            seconds = json.loads((run / "provenance.json").read_text())["jobs"][-1]["step_seconds"]
            speed = json.loads((run / "train_results.json").read_text())["train_samples_per_second"]
            subprocess.run(["rm", "-r", run], check=True)
            return {"speed": speed} | {phase: 1e3 * seconds[phase] / options.steps for phase in PHASES}

        rounds = []
        for _ in range(options.rounds):
            rounds.append({name: train(name, *way) for name, way in WAYS.items()})
        median = lambda values: statistics.median(list(values))
        for name in WAYS:
            ratio = median(one[name]["speed"] / one["one host"]["speed"] for one in rounds)
            phases = ", ".join(f"{phase} {median(one[name][phase] for one in rounds):.1f}" for phase in PHASES)
            print(f"{name}: {median(one[name]['speed'] for one in rounds):.1f} samples/s, {ratio:.3f}; {phases}", flush=True)

        measured = pathlib.Path(folder) / "scale.json"
        start(2, ["scale", "--model", pathlib.Path(options.model).resolve(), "--data", pathlib.Path(options.data).resolve(), "--max-steps", "20",
                  "--per-device-train-batch-size", str(options.batch), "--json", measured, *more])
        print(json.dumps(json.loads(measured.read_text())["measured"]["step"]))


main()

"""berth scale's predictions beside steps of berth train, by turns on the same cores; milliseconds, medians of rounds.

  scale_validation.py --build build --model DIR [--ranks 1,2,4] [--rounds 3] [--steps 30] [options of berth train …]

BERTH_DATASETS: the folder with sst2/. One thread a rank. Predicted: a node of so many ranks, out of what a rank's steps took alone, on as many
ranks at the same time, and of links measured between them; "from one rank": out of one rank's steps, and the links of two.
"""
import argparse, json, os, pathlib, statistics, subprocess, sys, tempfile

DATA = "sst2/train.tsv"


def run(command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)


def main():
    parser = argparse.ArgumentParser()
    for name, kind, default in (("build", str, "build"), ("model", str, None), ("ranks", str, "1,2,4"), ("rounds", int, 3), ("steps", int, 30)):
        parser.add_argument(f"--{name}", type=kind, default=default)
    a, options = parser.parse_known_args()
    os.environ.update(OMP_NUM_THREADS="1", OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMPI_MCA_rmaps_base_oversubscribe="1",
                      OMPI_MCA_hwloc_base_binding_policy="none")
    times, loads = {}, []  # {(ranks, what): [ms]}
    with tempfile.TemporaryDirectory() as folder:
        work, berth = pathlib.Path(folder), pathlib.Path(a.build) / "berth"
        run([berth, "prepare", "--train-file", pathlib.Path(os.environ["BERTH_DATASETS"]) / DATA, "--max-train-samples", 9600, "--tokenizer", a.model,
             "--output", work / "data.h5"])
        for _ in range(a.rounds):
            measured = {}
            for ranks in map(int, a.ranks.split(",")):
                start = ["mpirun", "-np", ranks, berth]
                steps = ["--model", a.model, "--data", work / "data.h5", "--per-device-train-batch-size", 16, *options]
                run([*start, "scale", *steps, "--max-steps", a.steps, "--platform", "measured", "--ranks", ranks, "--json", work / "scale.json"])
                scale = json.loads((work / "scale.json").read_text())
                measured[ranks] = scale["measured"]
                add = lambda what, seconds: times.setdefault((ranks, what), []).append(1000 * seconds)
                step = scale["measured"]["step"]
                add("alone", step["before"] + step["backward"] + step["after"])
                add("scale", scale["measured"]["step_seconds"])
                if ranks > 1:
                    add("predicted", scale["predicted"][0]["step"])
                if ranks == 2 and 1 in measured:
                    links = {key: measured[2][key] for key in ("ranks", "all_reduce", "messages", "host_all_reduce")}
                    (work / "one.json").write_text(json.dumps({"measured": measured[1] | links}))
                    run([berth, "scale", "--from", work / "one.json", "--platform", "measured", "--ranks", 2, "--json", work / "from.json"])
                    add("from one rank", json.loads((work / "from.json").read_text())["predicted"][0]["step"])
                run([*start, "train", *steps, "--max-steps", 2 * a.steps, "--logging-steps", 1, "--save-strategy", "no", "--output-dir", work / "run",
                     "--overwrite-output-dir", "--disable-tqdm"])
                lines = [json.loads(line) for line in (work / "run/metrics.jsonl").read_text().splitlines()]
                speeds = [line["samples_per_second"] for line in lines if line.get("step", 0) > a.steps and "loss" in line]
                add("train", 16 * ranks / statistics.median(speeds))
                loads.append(os.getloadavg()[0])
    print("| ranks | a rank alone | predicted | predicted from one rank | berth scale's steps | berth train's steps | predicted / train |\n" + "|---" * 7 + "|")
    for ranks in map(int, a.ranks.split(",")):
        value = lambda what: statistics.median(times[ranks, what]) if (ranks, what) in times else None
        text = lambda what: f"{value(what):.1f} ({', '.join(f'{ms:.0f}' for ms in times[ranks, what])})" if value(what) else ""
        ratio = (value("predicted") or value("alone")) / value("train")
        print(f"| {ranks} | {text('alone')} | {text('predicted')} | {text('from one rank')} | {text('scale')} | {text('train')} | {ratio:.2f} |")
    print(f"load average {min(loads):.1f} to {max(loads):.1f}")


main()

"""Training speed: berth beside Hugging Face Trainer on the same cores, in turns; medians of samples per second and their ratio.

  train_speed.py --build build --model DIR [--ranks 2] [--rows 1600] [--batch 16] [--rounds 3] [--modes fp32,bf16]

BERTH_DATASETS: the folder with sst2/. One thread a rank; Trainer runs under torchrun over gloo, with dynamic padding, once in the order of
the shuffle and once grouped by length. Needs transformers, datasets, accelerate and torch in the Python that runs this.
"""
import argparse, csv, json, os, pathlib, statistics, subprocess, sys, tempfile


def trainer(a):
    """One rank of the reference."""
    from transformers import (AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding, Trainer, TrainingArguments)
    tokenizer = AutoTokenizer.from_pretrained(a.model)
    rows = list(csv.DictReader(open(a.data, encoding="utf-8"), delimiter="\t", quoting=csv.QUOTE_NONE))
    encoded = tokenizer([row["sentence"] for row in rows], truncation=True, max_length=128)
    samples = [{**{key: encoded[key][i] for key in encoded}, "label": int(row["label"])} for i, row in enumerate(rows)]
    args = TrainingArguments(a.out, per_device_train_batch_size=a.batch, num_train_epochs=1, learning_rate=5e-5, use_cpu=True,
                             ddp_backend="gloo" if "RANK" in os.environ else None, report_to="none", save_strategy="no", disable_tqdm=True,
                             logging_steps=50, seed=1, bf16=a.mode == "bf16",
                             **({"train_sampling_strategy": "group_by_length"} if a.grouped else {}))
    model = AutoModelForSequenceClassification.from_pretrained(a.model, num_labels=2)
    result = Trainer(model, args, train_dataset=samples, data_collator=DataCollatorWithPadding(tokenizer)).train()
    if os.environ.get("RANK", "0") == "0":
        pathlib.Path(a.out, "speed").write_text(str(len(samples) / result.metrics["train_runtime"]))


def run(command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)


def main():
    parser = argparse.ArgumentParser()
    for name, kind, default in (("build", str, "build"), ("model", str, None), ("ranks", int, 2), ("rows", int, 1600), ("batch", int, 16),
                                ("rounds", int, 3), ("modes", str, "fp32,bf16"), ("data", str, ""), ("out", str, ""), ("mode", str, "")):
        parser.add_argument(f"--{name}", type=kind, default=default)
    parser.add_argument("--grouped", action="store_true")
    a = parser.parse_args()
    if a.mode:
        return trainer(a)
    os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    speeds = {}
    with tempfile.TemporaryDirectory() as folder:
        work, berth = pathlib.Path(folder), pathlib.Path(a.build) / "berth"
        lines = open(pathlib.Path(os.environ["BERTH_DATASETS"]) / "sst2/train.tsv", encoding="utf-8").readlines()[: a.rows + 1]
        (work / "train.tsv").write_text("".join(lines), encoding="utf-8")
        run([berth, "prepare", "--train-file", work / "train.tsv", "--tokenizer", a.model, "--output", work / "data.h5"])
        for _ in range(a.rounds):
            for mode in a.modes.split(","):
                run(["mpirun", "-np", a.ranks, berth, "train", "--model", a.model, "--data", work / "data.h5", "--output-dir", work / "run",
                     "--overwrite-output-dir", "--per-device-train-batch-size", a.batch, "--num-train-epochs", 1, "--save-strategy", "no",
                     "--logging-steps", 50, "--seed", 1, "--disable-tqdm", *(["--bf16"] if mode == "bf16" else [])])
                results = json.loads((work / "run/train_results.json").read_text())
                speeds.setdefault((mode, "berth"), []).append(results["train_samples_per_second"])
                for grouped in (False, True):
                    run([sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", a.ranks, __file__, "--mode", mode, "--model", a.model,
                         "--data", work / "train.tsv", "--out", work, "--batch", a.batch, *(["--grouped"] if grouped else [])])
                    name = "Trainer, grouped by length" if grouped else "Trainer"
                    speeds.setdefault((mode, name), []).append(float((work / "speed").read_text()))
    print("| precision | program | samples/s, median (all) | berth's ratio |\n|---|---|---|---|")
    for (mode, name), values in speeds.items():
        median = statistics.median(values)
        print(f"| {mode} | {name} | {median:.1f} ({', '.join(f'{v:.1f}' for v in values)}) | "
              f"{statistics.median(speeds[mode, 'berth']) / median:.2f} |")


main()

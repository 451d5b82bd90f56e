"""Every task on real data: berth beside Hugging Face Trainer, same encoder, files, hyper-parameters and seeds.

  real_tasks.py berth     --build build --model DIR --out FILE.jsonl [--jobs mrpc,stsb] [--seeds 1,2,3] [--ranks 1]
  real_tasks.py reference               --model DIR --out FILE.jsonl [--jobs …] [--seeds …]      (Python of tests/support/reference_env.sh)
  real_tasks.py table FILE.jsonl…       means, differences and their standard errors, in Markdown

BERTH_DATASETS: the folder with the data sets. Each run appends one line to FILE.jsonl; a run that is there already is not repeated.
The reference does what the example scripts run_glue, run_ner, run_qa and run_mlm do, with dynamic padding: fp32, one process, linear
schedule without warm-up, no weight decay, the model after the last step.
"""
import argparse, collections, dataclasses, json, math, os, pathlib, statistics, subprocess, sys, tempfile, time

import jobs


@dataclasses.dataclass(frozen=True)
class Job(jobs.Job):
    lr: float = 5e-5
    epochs: int = 1
    metrics: tuple = ("accuracy", "f1")  # to compare
    options: tuple = ()                  # more of berth train


JOBS = {
    "mrpc": Job("classification", "mrpc/train.tsv", "mrpc/dev.tsv", ("#1 String", "#2 String", "Quality")),
    "stsb": Job("regression", "stsb/train.tsv", "stsb/dev.tsv", ("sentence1", "sentence2", "score"), (3200, None),
                metrics=("pearson", "spearmanr")),
    "banking77": Job("classification", "banking77/train.csv", "banking77/test.csv", ("text", None, "category"), batch=32, lr=2e-4,
                     metrics=("accuracy",)),
    "sms_spam": Job("classification", "sms_spam/SMSSpamCollection", None, ("text", None, "label"), (1600, 2000)),
    "atis": Job("ner", "atis/train", "atis/dev", rows=(3200, None), lr=1e-4, metrics=("f1", "accuracy")),
    "conll2003": Job("ner", "conll2003/train.txt", "conll2003/valid.txt", rows=(4000, 1600), lr=1e-4, metrics=("f1", "accuracy")),
    "squad": Job("qa", "squad/train.json", "squad/valid.json", rows=(2400, 300), max_length=256, lr=2e-4, metrics=("exact_match", "f1")),
    "nlbse24": Job("mlm", "nlbse24/issues_train.csv", "nlbse24/issues_test.csv", ("body", None, None), (200, 100), lr=1e-4, epochs=2,
                   metrics=("loss",)),
}
RARE = ("precision", "recall", "f1")  # of spam, 13 % of the messages
for name, options in {"plain": (), "weights": ("--class-weights", "balanced"), "sampling": ("--weighted-sampling",)}.items():
    JOBS["spam_" + name] = dataclasses.replace(JOBS["sms_spam"], rows=(400, 2000), metrics=RARE, options=options)


def run_berth(name, seed, a, work):
    job = JOBS[name]
    berth, data, run = pathlib.Path(a.build) / "berth", work / f"{name}.h5", work / f"{name}-{seed}"
    if not data.exists():
        subprocess.run(jobs.prepare_command(job, jobs.files_of(job, work), berth, a.model, data), check=True, stdout=subprocess.DEVNULL)
    command = ["mpirun", "-np", a.ranks, berth, "train", "--model", a.model, "--data", data, "--output-dir", run, "--overwrite-output-dir",
               "--global-batch-size", job.batch, "--per-device-train-batch-size", job.batch, "--num-train-epochs", job.epochs,
               "--learning-rate", job.lr, "--seed", seed, "--eval-strategy", "epoch", "--save-strategy", "no", "--logging-steps", 50,
               "--per-device-eval-batch-size", 32, "--disable-tqdm", *job.options]
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL, stderr=open(work / f"{name}-{seed}.log", "w"))
    results = json.loads((run / "all_results.json").read_text())
    return {key.removeprefix("eval_"): value for key, value in results.items() if key.startswith("eval_")}, results["train_runtime"]


def run_reference(name, seed, a, work):
    import transformers

    import reference
    transformers.set_seed(seed)
    job = JOBS[name]
    task = reference.make(job, jobs.files_of(job, work), a.model)
    args = transformers.TrainingArguments(
        str(work / "hf"), per_device_train_batch_size=job.batch, per_device_eval_batch_size=32, learning_rate=job.lr,
        num_train_epochs=job.epochs, weight_decay=0.0, warmup_steps=0, use_cpu=True, report_to="none", save_strategy="no",
        logging_steps=50, disable_tqdm=True, seed=seed)
    evaluated = None if job.task == "qa" else task.valid
    trainer = trainer_class(job, task.train)(task.make_model(), args, train_dataset=task.train, eval_dataset=evaluated,
                                             data_collator=task.collator, processing_class=task.tokenizer)
    start = time.time()
    trainer.train()
    seconds = time.time() - start
    return task.score(trainer), seconds


def trainer_class(job, train):
    """Trainer, with what its users override for rare classes."""
    import numpy, torch, transformers
    if not job.options:
        return transformers.Trainer
    from sklearn.utils.class_weight import compute_class_weight
    labels = [row["label"] for row in train]
    weights = torch.tensor(compute_class_weight("balanced", classes=numpy.unique(labels), y=labels), dtype=torch.float)

    class Weighted(transformers.Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            labels = inputs.pop("labels")
            outputs = model(**inputs)
            loss = torch.nn.functional.cross_entropy(outputs.logits, labels, weight=weights)
            return (loss, outputs) if return_outputs else loss

    class Sampled(transformers.Trainer):
        def _get_train_sampler(self, *arguments):
            return torch.utils.data.WeightedRandomSampler(weights[labels], len(labels))

    return Weighted if "--class-weights" in job.options else Sampled


def table(files):
    runs = collections.defaultdict(lambda: collections.defaultdict(list))
    for file in files:
        for line in open(file, encoding="utf-8"):
            run = json.loads(line)
            for metric in JOBS[run["job"]].metrics:
                runs[run["job"], metric][run["side"]].append(run["metrics"][metric])
    print("| data | metric | berth | Hugging Face | difference | standard error | in errors |")
    print("|---|---|---|---|---|---|---|")
    for (job, metric), sides in sorted(runs.items(), key=lambda item: list(JOBS).index(item[0][0])):
        ours, theirs = sides["berth"], sides["reference"]
        if len(ours) < 2 or len(theirs) < 2:
            continue
        scale = 1 if metric in ("exact_match", "loss") or JOBS[job].task == "qa" else 100
        error = scale * math.sqrt(statistics.variance(ours) / len(ours) + statistics.variance(theirs) / len(theirs))
        difference = scale * (statistics.mean(ours) - statistics.mean(theirs))
        show = lambda values: f"{scale * statistics.mean(values):.2f} ({', '.join(f'{scale * v:.2f}' for v in values)})"
        print(f"| {job} | {metric} | {show(ours)} | {show(theirs)} | {difference:+.2f} | {error:.2f} | "
              f"{abs(difference) / error if error else 0:.1f} |")


def main():
    if sys.argv[1:2] == ["table"]:
        return table(sys.argv[2:])
    parser = argparse.ArgumentParser()
    parser.add_argument("side", choices=["berth", "reference"])
    parser.add_argument("--build", default="build")
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--jobs", default=",".join(JOBS))
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--ranks", type=int, default=1)
    a = parser.parse_args()
    done = set()
    if os.path.exists(a.out):
        done = {(run["job"], run["seed"]) for run in map(json.loads, open(a.out)) if run["side"] == a.side}
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        for seed in map(int, a.seeds.split(",")):
            for name in a.jobs.split(","):
                if (name, seed) in done:
                    continue
                metrics, seconds = {"berth": run_berth, "reference": run_reference}[a.side](name, seed, a, work)
                with open(a.out, "a") as out:
                    out.write(json.dumps({"side": a.side, "job": name, "seed": seed, "metrics": {key: float(value) for key, value in metrics.items()}, "seconds": round(seconds, 1)}) + "\n")


main()

"""Long texts (IMDb): accuracy of cutting them at 128 or 512 tokens, and of windows whose logits are pooled.

  long_texts.py --build build --model DIR --out FILE.jsonl [--ways cut-128,windows-128-mean] [--seeds 1,2,3] [--rows 800,500] [--ranks 1]
  long_texts.py --table FILE.jsonl       means over seeds, in Markdown

BERTH_DATASETS: the folder with the data sets. Each run appends one line to FILE.jsonl; a run that is there already is not repeated.
"""
import argparse, collections, json, os, pathlib, statistics, subprocess, tempfile

# name: options of berth prepare, of berth train
WAYS = {
    "cut-128": (["--max-length", 128], []),
    "cut-512": (["--max-length", 512], []),
    **{f"windows-128-{pooling}": (["--max-length", 128, "--doc-stride", 32], ["--document-pooling", pooling]) for pooling in ("mean", "max", "first")},
}


def call(*command, **options):
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL, **options)


def run(way, seed, a, work):
    preparation, training = WAYS[way]
    berth, folder = pathlib.Path(a.build) / "berth", pathlib.Path(os.environ["BERTH_DATASETS"]) / "imdb"
    train_rows, eval_rows = a.rows.split(",")
    data, out = work / f"{way}.h5", work / f"{way}-{seed}"
    if not data.exists():
        call(berth, "prepare", "--train-file", folder / "train.csv", "--validation-file", folder / "test.csv", "--normalize", "html", "--tokenizer",
             a.model, "--max-train-samples", train_rows, "--max-eval-samples", eval_rows, "--output", data, *preparation)
    call("mpirun", "-np", a.ranks, berth, "train", "--model", a.model, "--data", data, "--output-dir", out, "--global-batch-size", 16,
         "--num-train-epochs", 2, "--learning-rate", 1e-4, "--warmup-ratio", 0.1, "--seed", seed, "--eval-strategy", "epoch", "--save-strategy", "no",
         "--logging-steps", 10, "--disable-tqdm", *training, stderr=subprocess.DEVNULL)
    results = json.loads((out / "all_results.json").read_text())
    return {"way": way, "seed": seed, "accuracy": results["eval_accuracy"], "loss": results["eval_loss"]}


def table(file):
    runs = collections.defaultdict(list)
    for line in open(file, encoding="utf-8"):
        one = json.loads(line)
        runs[one["way"]].append(one)
    print("| long texts | accuracy, % (each seed) | standard error |\n|---|---|---|")
    for way in filter(runs.__contains__, WAYS):
        accuracies = [100 * one["accuracy"] for one in runs[way]]
        error = statistics.stdev(accuracies) / len(accuracies) ** 0.5 if len(accuracies) > 1 else float("nan")
        print(f"| {way} | {statistics.mean(accuracies):.2f} ({', '.join(f'{x:.2f}' for x in accuracies)}) | {error:.2f} |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--table")
    parser.add_argument("--build", default="build")
    parser.add_argument("--model")
    parser.add_argument("--out")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--rows", default="800,500")
    parser.add_argument("--ranks", type=int, default=1)
    a = parser.parse_args()
    if a.table:
        return table(a.table)
    done = {(one["way"], one["seed"]) for one in map(json.loads, open(a.out))} if os.path.exists(a.out) else set()
    with tempfile.TemporaryDirectory() as folder:
        for seed in map(int, a.seeds.split(",")):
            for way in a.ways.split(","):
                if (way, seed) not in done:
                    one = run(way, seed, a, pathlib.Path(folder))
                    with open(a.out, "a") as out:
                        out.write(json.dumps(one) + "\n")


main()

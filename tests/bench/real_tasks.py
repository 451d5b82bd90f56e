"""Every task on real data: berth beside Hugging Face Trainer, same encoder, files, hyper-parameters and seeds.

  real_tasks.py berth     --build build --model DIR --out FILE.jsonl [--jobs mrpc,stsb] [--seeds 1,2,3] [--ranks 1]
  real_tasks.py reference               --model DIR --out FILE.jsonl [--jobs …] [--seeds …]      (Python of tests/support/reference_env.sh)
  real_tasks.py table FILE.jsonl…       means, differences and their standard errors, in Markdown

BERTH_DATASETS: the folder with the data sets. Each run appends one line to FILE.jsonl; a run that is there already is not repeated.
The reference does what the example scripts run_glue, run_ner, run_qa and run_mlm do, with dynamic padding: fp32, one process, linear
schedule without warm-up, no weight decay, the model after the last step.
"""
import argparse, collections, csv, json, math, os, pathlib, statistics, subprocess, sys, tempfile, time

# name: task, files, what they hold, rows (train, validation), hyper-parameters, metrics to compare, more options of berth train
Job = collections.namedtuple("Job", "task train valid columns rows max_length batch lr epochs metrics options", defaults=([],))
JOBS = {
    "mrpc": Job("classification", "mrpc/train.tsv", "mrpc/dev.tsv", ("#1 String", "#2 String", "Quality"), (None, None), 128, 16, 5e-5, 1,
                ("accuracy", "f1")),
    "stsb": Job("regression", "stsb/train.tsv", "stsb/dev.tsv", ("sentence1", "sentence2", "score"), (3200, None), 128, 16, 5e-5, 1,
                ("pearson", "spearmanr")),
    "banking77": Job("classification", "banking77/train.csv", "banking77/test.csv", ("text", None, "category"), (None, None), 128, 32, 2e-4,
                     1, ("accuracy",)),
    "sms_spam": Job("classification", "sms_spam/SMSSpamCollection", None, ("text", None, "label"), (1600, 2000), 128, 16, 5e-5, 1,
                    ("accuracy", "f1")),
    "atis": Job("ner", "atis/train", "atis/dev", None, (3200, None), 128, 16, 1e-4, 1, ("f1", "accuracy")),
    "conll2003": Job("ner", "conll2003/train.txt", "conll2003/valid.txt", None, (4000, 1600), 128, 16, 1e-4, 1, ("f1", "accuracy")),
    "squad": Job("qa", "squad/train.json", "squad/valid.json", None, (2400, 300), 256, 16, 2e-4, 1, ("exact_match", "f1")),
    "nlbse24": Job("mlm", "nlbse24/issues_train.csv", "nlbse24/issues_test.csv", ("body", None, None), (200, 100), 128, 16, 1e-4, 2,
                   ("loss",)),
}
RARE = ("precision", "recall", "f1")  # of spam, 13 % of the messages
for name, options in {"plain": [], "weights": ["--class-weights", "balanced"], "sampling": ["--weighted-sampling"]}.items():
    JOBS["spam_" + name] = JOBS["sms_spam"]._replace(rows=(400, 2000), metrics=RARE, options=options)


def data_file(name):
    return pathlib.Path(os.environ["BERTH_DATASETS"]) / name


def files_of(name, work):
    """The job's training and validation file; SMS Spam has one file, whose head and tail are written as two CSV files."""
    job = JOBS[name]
    if job.valid:
        return data_file(job.train), data_file(job.valid)
    rows = [line.rstrip("\r\n").split("\t", 1) for line in open(data_file(job.train), encoding="utf-8", newline="\n")]
    parts = {"train": rows[: job.rows[0]], "valid": rows[-job.rows[1] :]}
    for part, chosen in parts.items():
        with open(work / f"{part}.csv", "w", encoding="utf-8", newline="") as out:
            csv.writer(out).writerows([("label", "text"), *chosen])
    return work / "train.csv", work / "valid.csv"


# ---------------------------------------------------------------------------------------------------------------- berth

def run_berth(name, seed, a, work):
    job = JOBS[name]
    berth = pathlib.Path(a.build) / "berth"
    train, valid = files_of(name, work)
    data = work / f"{name}.h5"
    command = [berth, "prepare", "--task", job.task, "--train-file", train, "--validation-file", valid, "--tokenizer", a.model,
               "--max-length", job.max_length, "--output", data]
    for flag, column in zip(("--text-column", "--text-pair-column", "--label-column"), job.columns or ()):
        command += [flag, column] if column else []
    for flag, rows in zip(("--max-train-samples", "--max-eval-samples"), job.rows):
        command += [flag, rows] if rows else []
    if job.task == "ner":
        command += ["--label-names", ",".join(tags_of([read_words(train, job.rows[0]), read_words(valid, job.rows[1])]))]
    if not data.exists():
        subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
    run = work / f"{name}-{seed}"
    command = ["mpirun", "-np", a.ranks, berth, "train", "--model", a.model, "--data", data, "--output-dir", run, "--overwrite-output-dir",
               "--global-batch-size", job.batch, "--per-device-train-batch-size", job.batch, "--num-train-epochs", job.epochs,
               "--learning-rate", job.lr, "--seed", seed, "--eval-strategy", "epoch", "--save-strategy", "no", "--logging-steps", 50,
               "--per-device-eval-batch-size", 32, "--disable-tqdm", *job.options]
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL, stderr=open(work / f"{name}-{seed}.log", "w"))
    results = json.loads((run / "all_results.json").read_text())
    return {key.removeprefix("eval_"): value for key, value in results.items() if key.startswith("eval_")}, results["train_runtime"]


# ------------------------------------------------------------------------------------------------------------ reference

def read_words(path, limit):
    """[(words, tags)] of a CoNLL file (first and last column) or an ATIS folder."""
    if path.is_dir():
        lines = zip(open(path / "seq.in", encoding="utf-8"), open(path / "seq.out", encoding="utf-8"))
        return [(words.split(), tags.split()) for words, tags in lines][:limit]
    sentences, words, tags = [], [], []
    for line in [*open(path, encoding="utf-8"), "\n"]:
        fields = line.split()
        if fields and fields[0] != "-DOCSTART-":
            words.append(fields[0])
            tags.append(fields[-1])
        elif words:
            sentences.append((words, tags))
            words, tags = [], []
    return sentences[:limit]


def tags_of(splits):
    """All tags of both splits: ATIS's dev has one that its training part lacks."""
    return sorted({tag for split in splits for _, tags in split for tag in tags})


def read_questions(path, limit):
    """[(id, question, context, texts, starts)] of a SQuAD file."""
    found = []
    for article in json.load(open(path, encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            for qa in paragraph["qas"]:
                found.append((qa["id"], qa["question"].lstrip(), paragraph["context"], [x["text"] for x in qa["answers"]],
                              [x["answer_start"] for x in qa["answers"]]))
    return found[:limit]


class Reference:
    def __init__(self, model_folder, name, seed, work):
        import numpy, pandas, torch, transformers
        self.np, self.pd, self.torch, self.hf = numpy, pandas, torch, transformers
        transformers.set_seed(seed)
        self.job, self.seed, self.work, self.folder = JOBS[name], seed, work, model_folder
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(model_folder)
        self.files = files_of(name, work)

    def table(self, path, limit):
        tsv = str(path).endswith(".tsv")
        return self.pd.read_csv(path, sep="\t" if tsv else ",", quoting=3 if tsv else 0, keep_default_na=False, encoding="utf-8-sig").head(
            limit if limit else 10**9)

    def train(self, model, train, evaluation, collator):
        args = self.hf.TrainingArguments(
            str(self.work / "hf"), per_device_train_batch_size=self.job.batch, per_device_eval_batch_size=32, learning_rate=self.job.lr,
            num_train_epochs=self.job.epochs, weight_decay=0.0, warmup_steps=0, use_cpu=True, report_to="none", save_strategy="no",
            logging_steps=50, disable_tqdm=True, seed=self.seed)
        trainer = self.trainer_class(train)(model, args, train_dataset=train, eval_dataset=evaluation, data_collator=collator,
                                  processing_class=self.tokenizer)
        start = time.time()
        trainer.train()
        return trainer, time.time() - start

    def trainer_class(self, train):
        """Trainer, with what its users override for rare classes."""
        if not self.job.options:
            return self.hf.Trainer
        from sklearn.utils.class_weight import compute_class_weight
        labels = [row["label"] for row in train]
        weights = self.torch.tensor(compute_class_weight("balanced", classes=self.np.unique(labels), y=labels), dtype=self.torch.float)
        torch = self.torch

        class Weighted(self.hf.Trainer):
            def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
                labels = inputs.pop("labels")
                outputs = model(**inputs)
                loss = torch.nn.functional.cross_entropy(outputs.logits, labels, weight=weights)
                return (loss, outputs) if return_outputs else loss

        class Sampled(self.hf.Trainer):
            def _get_train_sampler(self, *arguments):
                return torch.utils.data.WeightedRandomSampler(weights[labels], len(labels))

        return Weighted if "--class-weights" in self.job.options else Sampled

    def classification(self):
        return self.sequence(regression=False)

    def regression(self):
        return self.sequence(regression=True)

    def sequence(self, regression):
        first, second, label = self.job.columns
        frames = [self.table(path, rows) for path, rows in zip(self.files, self.job.rows)]
        names = None if regression else sorted({str(value) for value in frames[0][label]})

        def encode(frame):
            texts = [frame[first].tolist()] + ([frame[second].tolist()] if second else [])
            rows = self.tokenizer(*texts, truncation=True, max_length=self.job.max_length)
            labels = [float(x) if regression else names.index(str(x)) for x in frame[label]]
            return [{**{key: rows[key][i] for key in rows}, "label": labels[i]} for i in range(len(labels))]

        train, valid = map(encode, frames)
        model = self.hf.AutoModelForSequenceClassification.from_pretrained(self.folder, num_labels=1 if regression else len(names))
        trainer, seconds = self.train(model, train, valid, self.hf.DataCollatorWithPadding(self.tokenizer))
        output = trainer.predict(valid)
        labels = output.label_ids
        result = {"loss": output.metrics["test_loss"]}
        if regression:
            from scipy import stats
            result["pearson"] = stats.pearsonr(output.predictions[:, 0], labels)[0]
            result["spearmanr"] = stats.spearmanr(output.predictions[:, 0], labels)[0]
        else:
            from sklearn import metrics
            predicted = output.predictions.argmax(-1)
            result["accuracy"] = metrics.accuracy_score(labels, predicted)
            average = "binary" if len(names) == 2 else "macro"
            result |= {name: getattr(metrics, name + "_score")(labels, predicted, average=average) for name in RARE}
        return result, seconds

    def ner(self):
        from seqeval.metrics import accuracy_score, f1_score
        splits = [read_words(path, rows) for path, rows in zip(self.files, self.job.rows)]
        names = tags_of(splits)

        def encode(sentence):
            words, tags = sentence
            row = self.tokenizer(words, is_split_into_words=True, truncation=True, max_length=self.job.max_length)
            places, labels = row.word_ids(), []
            for i, place in enumerate(places):
                labels.append(-100 if place is None or (i and place == places[i - 1]) else names.index(tags[place]))
            return {**row, "labels": labels}

        train, valid = [[encode(sentence) for sentence in split] for split in splits]
        model = self.hf.AutoModelForTokenClassification.from_pretrained(self.folder, num_labels=len(names))
        trainer, seconds = self.train(model, train, valid, self.hf.DataCollatorForTokenClassification(self.tokenizer))
        output = trainer.predict(valid)
        predicted, actual = [], []
        for logits, labels in zip(output.predictions, output.label_ids):
            kept = [(names[p], names[l]) for p, l in zip(logits.argmax(-1), labels) if l != -100]
            predicted.append([p for p, _ in kept])
            actual.append([l for _, l in kept])
        return {"f1": f1_score(actual, predicted), "accuracy": accuracy_score(actual, predicted)}, seconds

    def qa(self):
        def encode(questions, with_labels):
            features = []
            for q, (_, question, context, texts, starts) in enumerate(questions):
                rows = self.tokenizer(question, context, truncation="only_second", max_length=self.job.max_length, stride=128,
                                      return_overflowing_tokens=True, return_offsets_mapping=True)
                for w in range(len(rows["input_ids"])):
                    offsets = [o if s == 1 else None for o, s in zip(rows["offset_mapping"][w], rows.sequence_ids(w))]
                    feature = {key: rows[key][w] for key in ("input_ids", "token_type_ids", "attention_mask")}
                    if with_labels:
                        begin, end = starts[0], starts[0] + len(texts[0])
                        inside = [i for i, o in enumerate(offsets) if o]
                        span = (0, 0)
                        if offsets[inside[0]][0] <= begin and offsets[inside[-1]][1] >= end:
                            span = (max(i for i in inside if offsets[i][0] <= begin), min(i for i in inside if offsets[i][1] >= end))
                        feature["start_positions"], feature["end_positions"] = span
                    else:
                        feature["place"] = (q, offsets)
                    features.append(feature)
            return features

        train_questions, questions = [read_questions(path, rows) for path, rows in zip(self.files, self.job.rows)]
        train, valid = encode(train_questions, True), encode(questions, False)
        model = self.hf.AutoModelForQuestionAnswering.from_pretrained(self.folder)
        collator = self.hf.DataCollatorWithPadding(self.tokenizer)
        trainer, seconds = self.train(model, train, None, collator)
        places = [feature.pop("place") for feature in valid]
        starts, ends = trainer.predict(valid).predictions[:2]
        best = {}
        for (q, offsets), start, end in zip(places, starts, ends):
            top = lambda row: [int(i) for i in self.np.argsort(row)[-1:-21:-1]]
            for s in top(start):
                for e in top(end):
                    if s < len(offsets) and e < len(offsets) and offsets[s] and offsets[e] and s <= e < s + 30:
                        best[q] = max(best.get(q, (-1e9, "")), (float(start[s] + end[e]), questions[q][2][offsets[s][0] : offsets[e][1]]))
        scores = [score_answer(best.get(q, (0, ""))[1], question[3]) for q, question in enumerate(questions)]
        return {"exact_match": 100 * statistics.mean(s[0] for s in scores), "f1": 100 * statistics.mean(s[1] for s in scores)}, seconds

    def mlm(self):
        def chunks(path, rows):
            ids = [i for text in self.table(path, rows)[self.job.columns[0]] for i in self.tokenizer(text)["input_ids"]]
            size = self.job.max_length
            return [{"input_ids": ids[i : i + size], "attention_mask": [1] * size} for i in range(0, len(ids) // size * size, size)]

        train, valid = [chunks(path, rows) for path, rows in zip(self.files, self.job.rows)]
        model = self.hf.AutoModelForMaskedLM.from_pretrained(self.folder)
        trainer, seconds = self.train(model, train, valid, self.hf.DataCollatorForLanguageModeling(self.tokenizer, mlm_probability=0.15))
        loss = trainer.evaluate()["eval_loss"]
        return {"loss": loss, "perplexity": math.exp(loss), "chunks": len(train)}, seconds


def score_answer(answer, truths):
    """SQuAD's exact match and F1 of one answer."""
    import re, string

    def normal(text):
        text = "".join(c for c in text.lower() if c not in string.punctuation)
        return re.sub(r"\b(a|an|the)\b", " ", text).split()

    def f1(a, b):
        common = sum((collections.Counter(a) & collections.Counter(b)).values())
        return 2 * common / (len(a) + len(b)) if common else 0.0

    words = normal(answer)
    return max(float(words == normal(t)) for t in truths), max(f1(words, normal(t)) for t in truths)


# ---------------------------------------------------------------------------------------------------------------- table

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
                if a.side == "berth":
                    metrics, seconds = run_berth(name, seed, a, work)
                else:
                    metrics, seconds = getattr(Reference(a.model, name, seed, work), JOBS[name].task)()
                with open(a.out, "a") as out:
                    out.write(json.dumps({"side": a.side, "job": name, "seed": seed, "metrics": {key: float(value) for key, value in metrics.items()}, "seconds": round(seconds, 1)}) + "\n")


main()

"""Compares berth's training with Hugging Face's Trainer step by step, live: one real encoder, every task but pretraining, weighted losses,
and classification with other optimizers.

    compare_training.py BERTH MODEL [FAMILY]

FAMILY: distilbert or electra, of which a small random model with MODEL's vocabulary is taken instead of MODEL.

Both begin with the same weights, heads included, and take the same steps with AdamW, weight decay, warm-up, a linear schedule and clipping, in fp32.
Dropout is off and each step holds the whole data set, so that nothing is left to chance: losses, gradient norms and learning rates must agree step by
step, and so must what the weights have moved. Dropout, which the two draw differently, is then compared over DRAWS steps that change nothing: means
and standard deviations of losses and gradient norms. (With DRAWS = 100 and all tasks, all agreed to 2.1 standard errors.)
"""
import collections
import csv
import json
import math
import pathlib
import sys
import tempfile

import torch
import transformers
from live import begin, berth, dropout, load

DEMO = pathlib.Path(__file__).resolve().parents[2] / "data" / "demo"
ROWS, STEPS, DRAWS, DROPOUT = 16, 8, 50, 0.1
WITH_DRAWS = {"bert": ("classification",), "electra": ("classification", "ner"), "distilbert": ("classification", "ner", "qa")}  # heads with dropout
WITHOUT = {"distilbert": ("documents", "next-sentence-prediction"), "electra": ("documents", "next-sentence-prediction", "multiple-choice")}  # classes of BERT's
# Relative differences: loss and gradient norm of each step; the weights' way (length of the difference) where gradients are more than rounding, and
# anywhere. A gradient that is zero but for rounding (of a key's bias, of the bias of scores that a softmax compares) is a step of AdamW, too: its way
# says nothing, and on another CPU it is another.
LOSS, NORM, MOVED, MOVED_ANYWHERE = 1e-4, 5e-3, 1e-3, 1e-2
ROUNDING = 1e-7  # root of AdamW's second moment; a gradient's norm is about 1
FALLS = {"bert": 0.9, "distilbert": 0.96, "electra": 0.96}  # the last loss, at most, of the first


def reviews():
    with open(DEMO / "train.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))[:ROWS]


def write_csv(path, columns, rows):
    with open(path, "w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([columns, *rows])


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


# Each writes the training file, says how berth prepares it and which labels there are, and makes the samples that Trainer gets.

def classification(path, tokenizer):
    rows, names = reviews(), ["negative", "positive"]
    write_csv(path, ["text", "label"], [(row["text"], row["label"]) for row in rows])
    return [], names, [{**tokenizer(row["text"]), "labels": names.index(row["label"])} for row in rows]


class Documents(transformers.BertForSequenceClassification):
    """The mean of the logits of a document's windows."""

    def forward(self, windows=None, counts=None, labels=None):
        rows = super().forward(**windows).logits
        logits = torch.stack([part.mean(0) for part in rows.split(counts.tolist())])
        return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}


def document_collator(tokenizer):
    def collate(samples):
        windows = tokenizer.pad([window for sample in samples for window in sample["windows"]], return_tensors="pt")
        return {"windows": dict(windows), "counts": torch.tensor([len(sample["windows"]) for sample in samples]),
                "labels": torch.tensor([sample["labels"] for sample in samples])}

    return collate


def documents(path, tokenizer):
    options, names, samples = classification(path, tokenizer)
    for row, sample in zip(reviews(), samples):
        cut = tokenizer(row["text"], truncation=True, max_length=12, stride=3, return_overflowing_tokens=True)
        cut.pop("overflow_to_sample_mapping")
        sample["windows"] = [{key: values[i] for key, values in cut.items()} for i in range(len(cut["input_ids"]))]
    assert any(len(sample["windows"]) > 2 for sample in samples)
    return [*options, "--max-length", 12, "--doc-stride", 3], names, samples


def regression(path, tokenizer):
    rows = [(row["text"], reviews()[-1 - i]["text"], i * 5 / ROWS) for i, row in enumerate(reviews())]
    write_csv(path, ["sentence1", "sentence2", "score"], rows)
    return [], None, [{**tokenizer(first, second), "labels": score} for first, second, score in rows]


def multi_label(path, tokenizer):
    names = ["article", "long", "positive"]
    truth = [[float(" the " in row["text"]), float(len(row["text"]) > 60), float(row["label"] == "positive")] for row in reviews()]
    cells = [",".join(name for name, holds in zip(names, row) if holds) for row in truth]
    write_csv(path, ["text", "label"], [(row["text"], cell) for row, cell in zip(reviews(), cells)])
    return [], names, [{**tokenizer(row["text"]), "labels": labels} for row, labels in zip(reviews(), truth)]


def multiple_choice(path, tokenizer):
    texts = [row["text"].split() for row in reviews()]
    rows, samples = [], []
    for i, words in enumerate(texts):
        endings = [" ".join(texts[i - k][-3:]) for k in (1, 2)]
        endings.insert(i % 3, " ".join(words[-3:]))
        rows.append((" ".join(words[:-3]), words[0], *endings, i % 3))
        pairs = tokenizer([rows[-1][0]] * 3, [f"{words[0]} {ending}" for ending in endings])
        samples.append({**pairs, "labels": i % 3})
    write_csv(path, ["sent1", "sent2", "ending0", "ending1", "ending2", "label"], rows)
    return [], None, samples


def next_sentence(path, tokenizer):
    rows = [(row["text"], reviews()[-1 - i]["text"], i % 2) for i, row in enumerate(reviews())]
    write_csv(path, ["sentence1", "sentence2", "label"], rows)
    return [], None, [{**tokenizer(first, second), "labels": label} for first, second, label in rows]


def ner(path, tokenizer):
    names, rows = ["B-X", "I-X", "O"], []
    for row in reviews():
        words = row["text"].split()
        rows.append({"tokens": words, "ner_tags": [names[0] if n % 5 == 0 else names[1] if n % 5 == 1 else "O" for n in range(len(words))]})
    write_jsonl(path, rows)
    samples = []
    for row in rows:
        encoding = tokenizer(row["tokens"], is_split_into_words=True)
        places = encoding.word_ids()
        labels = [-100 if w is None or w == places[i - 1] else names.index(row["ner_tags"][w]) for i, w in enumerate(places)]
        samples.append({**encoding, "labels": labels})
    return [], names, samples


def qa(path, tokenizer):
    """Contexts of one length: where Trainer pads, the padding's logits stand in its loss, too, and berth has no padding."""
    rows, samples, words = [], [], "the film was good and the plot not bad but too long for one evening at home".split()
    for i in range(ROWS):
        question, context = f"What is {'good' if i % 2 else 'bad'} here?", " ".join(words[i:] + words[:i])
        answer = words[i * 5 % ROWS]
        start = context.index(answer)
        rows.append({"id": str(i), "question": question, "context": context, "answers": {"text": [answer], "answer_start": [start]}})
        encoding = tokenizer(question, context)
        samples.append({**encoding, "start_positions": encoding.char_to_token(start, sequence_index=1),
                        "end_positions": encoding.char_to_token(start + len(answer) - 1, sequence_index=1)})
    assert len({len(sample["input_ids"]) for sample in samples}) == 1
    write_jsonl(path, rows)
    return ["--max-length", 128, "--doc-stride", 32], None, samples


def masked_lm(path, tokenizer):
    """Every token is masked, see TASKS: that leaves nothing to chance here, either."""
    rows, samples = [row["text"] for row in reviews()], []
    path.write_text("".join(row + "\n" for row in rows), encoding="utf-8")
    for row in rows:
        encoding = tokenizer(row, return_special_tokens_mask=True)
        special = encoding.pop("special_tokens_mask")
        labels = [-100 if s else i for i, s in zip(encoding["input_ids"], special)]
        encoding["input_ids"] = [i if s else tokenizer.mask_token_id for i, s in zip(encoding["input_ids"], special)]
        samples.append({**encoding, "labels": labels})
    return ["--line-by-line"], None, samples


# What makes the data, the training file's name, the Auto class, its collator, options of its config, options of berth train, the task's name
# in berth where it is not this one, the loss that users put into Trainer.compute_loss, and options of the custom head that berth makes the model
# with that both begin with
Task = collections.namedtuple("Task", "make file kind collator config train name criterion head", defaults=({}, [], None, None, None))
TASKS = {
    "classification": Task(classification, "train.csv", transformers.AutoModelForSequenceClassification, transformers.DataCollatorWithPadding),
    "documents": Task(documents, "train.csv", Documents, document_collator, name="classification"),
    "regression": Task(regression, "train.csv", transformers.AutoModelForSequenceClassification, transformers.DataCollatorWithPadding,
                       {"num_labels": 1, "problem_type": "regression"}),
    "multi-label": Task(multi_label, "train.csv", transformers.AutoModelForSequenceClassification, transformers.DataCollatorWithPadding,
                        {"problem_type": "multi_label_classification"}),
    "multiple-choice": Task(multiple_choice, "train.csv", transformers.AutoModelForMultipleChoice, transformers.DataCollatorForMultipleChoice),
    "next-sentence-prediction": Task(next_sentence, "train.csv", transformers.AutoModelForNextSentencePrediction, transformers.DataCollatorWithPadding),
    "ner": Task(ner, "train.jsonl", transformers.AutoModelForTokenClassification, transformers.DataCollatorForTokenClassification),
    "qa": Task(qa, "train.jsonl", transformers.AutoModelForQuestionAnswering, transformers.DataCollatorWithPadding),
    "masked-lm": Task(masked_lm, "train.txt", transformers.AutoModelForMaskedLM, transformers.DataCollatorForTokenClassification,
                      train=["--whole-word-mask", "--mlm-probability", 1]),
    "classification, custom head": Task(classification, "train.csv", transformers.AutoModelForSequenceClassification, transformers.DataCollatorWithPadding,
                                        name="classification", head=["--pooling", "mean", "--head-hidden-sizes", "64,24", "--head-activation", "gelu"]),
    "multi-label, custom head": Task(multi_label, "train.csv", transformers.AutoModelForSequenceClassification, transformers.DataCollatorWithPadding,
                                     name="multi-label", head=["--pooling", "max", "--head-hidden-sizes", "64"]),
    "ner, custom head": Task(ner, "train.jsonl", transformers.AutoModelForTokenClassification, transformers.DataCollatorForTokenClassification,
                             name="ner", head=["--head-hidden-sizes", "64", "--head-activation", "tanh"]),
}
TASKS |= {
    "classification, class weights": TASKS["classification"]._replace(
        name="classification", train=["--class-weights", "negative=0.5,positive=4"],
        criterion=torch.nn.CrossEntropyLoss(weight=torch.tensor([0.5, 4.0]))),
    "ner, class weights and smoothing": TASKS["ner"]._replace(
        name="ner", train=["--class-weights", "B-X=3,I-X=0.7,O=0.4", "--label-smoothing-factor", 0.1],
        criterion=torch.nn.CrossEntropyLoss(weight=torch.tensor([3, 0.7, 0.4]), label_smoothing=0.1)),
    "multi-label, pos_weight": TASKS["multi-label"]._replace(
        name="multi-label", train=["--pos-weight", "article=3,long=0.5,positive=2"],
        criterion=torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor([3, 0.5, 2.0]))),
}


def layerwise(model):
    """Layer-wise decay 0.8 and 2e-3 for the head; first the group whose learning rate Trainer logs."""
    layers, base = model.config.num_hidden_layers, model.base_model_prefix + "."
    groups = collections.defaultdict(list)
    for name, parameter in model.named_parameters():
        inside = name.removeprefix(base)
        depth = layers + 1 if inside.startswith("embeddings") else layers - int(inside.split(".")[2]) if inside.startswith("encoder.layer") else 0
        groups[5e-4 * 0.8**depth if name.startswith(base) else 2e-3, name.endswith("bias") or "LayerNorm" in name].append(parameter)
    ordered = sorted(groups.items(), key=lambda group: group[0][0] != 5e-4)
    return torch.optim.AdamW([{"params": parameters, "lr": lr, "weight_decay": 0.0 if spared else 0.01} for (lr, spared), parameters in ordered], lr=5e-4)


# Options of berth train; what makes Trainer's optimizer; further TrainingArguments
Variant = collections.namedtuple("Variant", "train optimizer arguments", defaults=([], None, {}))
VARIANTS = {
    "cosine_with_min_lr": Variant(["--lr-scheduler-type", "cosine_with_min_lr", "--lr-scheduler-kwargs", '{"min_lr_rate": 0.1}'],
                                  arguments={"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr_rate": 0.1}}),
    "rates by depth": Variant(["--layerwise-lr-decay", 0.8, "--head-learning-rate", 2e-3], layerwise),
}


class Recorder(transformers.Trainer):
    """Keeps each step's loss, which Trainer's log rounds; with a loss of its own, if there is a criterion."""

    criterion = None

    def compute_loss(self, model, inputs, **options):
        if self.criterion:
            labels, logits = inputs.pop("labels"), model(**inputs).logits
            loss = self.criterion(logits.flatten(0, -2), labels.flatten(0, logits.dim() - 2))
        else:
            loss = super().compute_loss(model, inputs, **options)
        self.losses = [*getattr(self, "losses", []), loss.item()]
        return loss


def train_with_transformers(task, start, samples, tokenizer, work, variant):
    args = transformers.TrainingArguments(
        str(work / "theirs"), per_device_train_batch_size=ROWS, num_train_epochs=STEPS, learning_rate=5e-4, weight_decay=0.01, warmup_steps=2,
        max_grad_norm=1.0, logging_steps=1, use_cpu=True, report_to="none", save_strategy="no", disable_tqdm=True, log_level="error", seed=1, **variant.arguments)
    model = load(task.kind, start)
    trainer = Recorder(model, args, train_dataset=samples, data_collator=task.collator(tokenizer), processing_class=tokenizer,
                       optimizers=(variant.optimizer and variant.optimizer(model), None))
    trainer.criterion = task.criterion
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    logged = [record for record in trainer.state.log_history if "grad_norm" in record]
    return (trainer.losses, [r["grad_norm"] for r in logged], [r["learning_rate"] for r in logged], trainer.model.state_dict(),
            second_moments(trainer.model, trainer.optimizer))


def second_moments(model, optimizer):
    """The root of AdamW's, without its bias, by parameter."""
    states = getattr(optimizer, "optimizer", optimizer).state
    beta = optimizer.param_groups[0]["betas"][1]
    return {name: (states[parameter]["exp_avg_sq"] / (1 - beta ** int(states[parameter]["step"]))).sqrt()
            for name, parameter in model.named_parameters(remove_duplicate=False) if parameter in states}


def train_with_berth(program, task, start, preparation, path, work, variant):
    data, run = work / "data.h5", work / "ours"
    berth(program, "prepare", "--train-file", path, "--tokenizer", start, "--output", data, *preparation)
    berth(program, "train", "--model", start, "--data", data, "--output-dir", run, "--global-batch-size", ROWS, "--num-train-epochs", STEPS,
          "--learning-rate", 5e-4, "--weight-decay", 0.01, "--warmup-steps", 2, "--max-grad-norm", 1, "--logging-steps", 1, "--save-strategy", "no",
          *task.train, *variant.train, ranks=2)
    logged = [record for record in map(json.loads, (run / "metrics.jsonl").open()) if "grad_norm" in record]
    return [r["loss"] for r in logged], [r["grad_norm"] for r in logged], [r["learning_rate"] for r in logged], load(task.kind, run).state_dict()


def draws_of_transformers(task, start, samples, tokenizer):
    """Loss and gradient norm of the samples, DRAWS times with other dropout."""
    model = task.kind.from_pretrained(start).train()
    batch = task.collator(tokenizer)([dict(sample) for sample in samples])
    drawn = []
    for _ in range(DRAWS):
        model.zero_grad()
        loss = model(**batch).loss
        loss.backward()
        drawn.append((loss.item(), torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None]).item()))
    return drawn


def draws_of_berth(program, task, start, work):
    run = work / "draws"
    berth(program, "train", "--model", start, "--data", work / "data.h5", "--output-dir", run, "--global-batch-size", ROWS, "--max-steps", DRAWS,
          "--learning-rate", 0, "--logging-steps", 1, "--save-strategy", "no", *task.train, ranks=2)
    return [(r["loss"], r["grad_norm"]) for r in map(json.loads, (run / "metrics.jsonl").open()) if "grad_norm" in r]


def compare_draws(name, ours, theirs):
    """Means within 4 standard errors, standard deviations within 4 of theirs."""
    for what, a, b in zip(("loss", "gradient norm"), zip(*ours, strict=True), zip(*theirs, strict=True)):
        a, b = torch.tensor(a, dtype=torch.double), torch.tensor(b, dtype=torch.double)
        means = ((a.mean() - b.mean()) / ((a.var() + b.var()) / DRAWS).sqrt()).item()
        spreads = ((a.std() / b.std()).log() / math.sqrt(1 / (DRAWS - 1))).item()
        print(f"{name}, dropout: {what} {a.mean():.4f} +- {a.std():.4f}, Trainer's {b.mean():.4f} +- {b.std():.4f}: {means:+.1f} and {spreads:+.1f} standard errors apart")
        assert len(a) == DRAWS and abs(means) < 4 and abs(spreads) < 4


def apart(ours, theirs):
    return max(abs(a - b) / abs(b) if a != b else 0.0 for a, b in zip(ours, theirs, strict=True))


def with_dropout(family, folder):
    config = json.loads((folder / "config.json").read_text()) | dropout(family, DROPOUT)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def compare(program, model_folder, family, name, work, variant=Variant()):
    task, start = TASKS[name], work / "start"
    tokenizer = transformers.AutoTokenizer.from_pretrained(model_folder)
    preparation, labels, samples = task.make(work / task.file, tokenizer)
    config = task.config | ({"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}} if labels else {})
    preparation = ["--task", task.name or name, *preparation]
    if task.head:
        berth(program, "prepare", "--train-file", work / task.file, "--tokenizer", model_folder, "--output", work / "start.h5", *preparation)
        berth(program, "train", "--model", model_folder, "--data", work / "start.h5", "--output-dir", start, "--max-steps", 1, "--learning-rate", 0,
              "--hidden-dropout-prob", 0, "--attention-probs-dropout-prob", 0, "--head-dropout", 0, "--save-strategy", "no", *task.head)
        model = load(task.kind, start)
    else:
        transformers.set_seed(1)
        model = begin(task.kind, family, model_folder, **dropout(family, 0.0), **config)
        model.save_pretrained(start)
        tokenizer.save_pretrained(start)
    theirs = train_with_transformers(task, start, samples, tokenizer, work, variant)
    ours = train_with_berth(program, task, start, preparation, work / task.file, work, variant)
    before = model.state_dict()
    flat = lambda weights: torch.cat([(weights[name] - before[name]).flatten() for name in before])
    gradients = torch.cat([theirs[4].get(name, torch.zeros_like(before[name])).flatten() for name in before])
    way, away = flat(theirs[3]), flat(ours[3]) - flat(theirs[3])
    told = (gradients == 0) | (gradients > ROUNDING)
    assert told.double().mean() > 0.9, f"{told.double().mean()} of the weights have gradients that are more than rounding"
    moved, anywhere = ((away[part].norm() / way[part].norm()).item() for part in (told, slice(None)))
    loss, norm, rate = (apart(a, b) for a, b in zip(ours[:3], theirs[:3]))
    print(f"{name} {' '.join(map(str, variant.train))}: {STEPS} steps, loss {theirs[0][0]:.4f} to {theirs[0][-1]:.4f}; largest relative differences: loss {loss:.1e}, gradient norm {norm:.1e}, "
          f"learning rate {rate:.1e}; the weights' way {moved:.1e}, {anywhere:.1e} with {len(told) - told.sum()} whose gradients are rounding")
    assert len(theirs[0]) == STEPS and theirs[0][-1] < (0.99 if task.head else FALLS[family]) * theirs[0][0], theirs[0]
    assert loss < LOSS and norm < NORM and rate < 1e-6 and moved < MOVED and anywhere < MOVED_ANYWHERE, (ours[:3], theirs[:3])
    if name in WITH_DRAWS[family] and variant == Variant():
        end = with_dropout(family, work / "ours")
        compare_draws(name, draws_of_berth(program, task, end, work), draws_of_transformers(task, end, samples, tokenizer))


def main():
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    family = (sys.argv[3:] or ["bert"])[0]
    for task in TASKS:
        if task in WITHOUT.get(family, ()) or (family != "bert" and TASKS[task].head):
            continue
        with tempfile.TemporaryDirectory() as work:
            compare(sys.argv[1], pathlib.Path(sys.argv[2]), family, task, pathlib.Path(work))
    for variant in VARIANTS.values() if family == "bert" else ():
        with tempfile.TemporaryDirectory() as work:
            compare(sys.argv[1], pathlib.Path(sys.argv[2]), family, "classification", pathlib.Path(work), variant)


if __name__ == "__main__":
    main()

"""Compares a run folder of berth with what transformers and TensorBoard make of it, live.

    compare_run.py BERTH MODEL [FAMILY]

Fine-tunes MODEL (or a small random distilbert or electra with its vocabulary) for a few steps on 2 MPI ranks, task by task. Then the run folder must
load with transformers' Auto class, label names included, and give what `berth predict` gives (logits to 1e-4, fp32), TensorBoard's reader must find
the losses of metrics.jsonl, and huggingface_hub the results in the model card.
"""
import csv
import json
import pathlib
import sys
import tempfile

import torch
import transformers
from huggingface_hub import ModelCard
from live import begin, berth, load
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

DEMO = pathlib.Path(__file__).resolve().parents[2] / "data" / "demo"
STEPS, TOLERANCE = 12, 1e-4


def write_entities(work):
    """Sentences in which capitalised names are persons and places can be told by the word before; and how to prepare them."""
    names, places = ["Anna Meyer", "Tom", "Zoë Brown-Smith", "O'Neil"], ["Zürich", "New York", "Oslo"]
    with (work / "entities.conll").open("w") as out:
        for i in range(120):
            words = []
            for kind, text in (("O", ["Yesterday", "Today,"][i % 2]), ("PER", names[i % 4]), ("O", "travelled to"), ("LOC", places[i % 3]), ("O", ".")):
                for n, word in enumerate(text.split()):
                    words.append(word + " " + (kind if kind == "O" else ("I-" if n else "B-") + kind))
            out.write("\n".join(words) + "\n\n")
    (work / "input.txt").write_text("".join(f"{n} met {m} in {p}; {p} was unaffable.\n" for n in names for m in names for p in places))
    return ["--task", "ner", "--train-file", work / "entities.conll"], ["--input", work / "input.txt", "--format", "text"]


def write_reviews(work):
    return ["--task", "classification", "--train-file", DEMO / "train.csv"], ["--input", DEMO / "test.csv"]


def reviews(work, column, cell):
    """The demo's reviews with another label."""
    with open(DEMO / "train.csv", encoding="utf-8") as file, open(work / "reviews.csv", "w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([("text", column), *((row["text"], cell(row)) for row in csv.DictReader(file))])
    return ["--train-file", work / "reviews.csv"], ["--input", DEMO / "test.csv"]


def write_scores(work):
    prepare, predict = reviews(work, "score", lambda row: len(row["text"]) / 100)
    return ["--task", "regression", *prepare], predict


def write_labels(work):
    prepare, predict = reviews(work, "labels", lambda row: row["label"] + ",long" * (len(row["text"]) > 60))
    return ["--task", "multi-label", *prepare], predict


def write_documents(work):
    return ["--task", "classification", "--train-file", DEMO / "train.csv", "--max-length", 16, "--doc-stride", 4], ["--input", DEMO / "test.csv"]


def write_choices(work):
    """Reviews with the endings of three of them, in two forms of file: which is this one's?"""
    with open(DEMO / "train.csv", encoding="utf-8") as file:
        texts = [row["text"].split() for row in list(csv.DictReader(file))[:120]]
    rows = []
    for i, words in enumerate(texts):
        endings = [" ".join(texts[(i + k) % len(texts)][-3:]) for k in (5, 9)]
        endings.insert(i % 3, " ".join(words[-3:]))
        rows.append({"context": " ".join(words[:-4]), "question": words[-4] if len(words) > 4 else "", "choices": endings, "answer": "ABC"[i % 3]})
    with open(work / "choices.csv", "w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([("sent1", "sent2", "ending0", "ending1", "ending2", "label"),
                                   *((row["context"], row["question"], *row["choices"], "ABC".index(row["answer"])) for row in rows)])
    (work / "choices.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return ["--task", "multiple-choice", "--train-file", work / "choices.csv"], ["--input", work / "choices.jsonl"]


def write_next_sentences(work):
    with open(DEMO / "train.csv", encoding="utf-8") as file:
        texts = [row["text"].split() for row in list(csv.DictReader(file))[:160]]
    rows = [(" ".join(words[:-3]), " ".join(texts[i - i % 2][-3:]), i % 2) for i, words in enumerate(texts)]
    with open(work / "next.csv", "w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([("text", "text_pair", "label"), *rows])
    return ["--task", "next-sentence-prediction", "--train-file", work / "next.csv"], ["--input", work / "next.csv"]


def logits_of(model, tokenizer, row):
    with torch.no_grad():
        return model(**tokenizer(row["text"], truncation=True, max_length=128, return_tensors="pt")).logits[0]


def compare_label(model, tokenizer, row):
    logits = logits_of(model, tokenizer, row)
    assert row["label"] == model.config.id2label[int(logits.argmax())] or (logits[0] - logits[1]).abs() < TOLERANCE, row
    return (logits - torch.tensor(row["logits"])).abs().max().item()


def compare_document(model, tokenizer, row):
    """The mean of the logits of the windows that config.json tells of."""
    config = model.config
    assert config.berth_document_pooling == "mean" and (config.berth_max_length, config.berth_doc_stride) == (16, 4), config
    windows = tokenizer(row["text"], truncation=True, max_length=config.berth_max_length, stride=config.berth_doc_stride,
                        return_overflowing_tokens=True, padding=True, return_tensors="pt")
    windows.pop("overflow_to_sample_mapping")
    with torch.no_grad():
        logits = model(**windows).logits.mean(0)
    assert row["label"] == model.config.id2label[int(logits.argmax())] or (logits[0] - logits[1]).abs() < TOLERANCE, row
    return (logits - torch.tensor(row["logits"])).abs().max().item()


def compare_choice(model, tokenizer, row):
    choices = row["choices"]
    pairs = tokenizer([row["text"]] * len(choices), [f"{row['text_pair']} {choice}" for choice in choices], padding=True, truncation=True,
                      max_length=128, return_tensors="pt")
    with torch.no_grad():
        logits = model(**{key: values[None] for key, values in pairs.items()}).logits[0]
    assert row["choice"] == choices[row["label"]] and row["label"] == int(torch.tensor(row["logits"]).argmax()), row
    assert (logits.softmax(0) - torch.tensor(row["scores"])).abs().max() < TOLERANCE, row
    return (logits - torch.tensor(row["logits"])).abs().max().item()


def compare_next_sentence(model, tokenizer, row):
    with torch.no_grad():
        logits = model(**tokenizer(row["text"], row["text_pair"], truncation=True, max_length=128, return_tensors="pt")).logits[0]
    assert row["label"] == ("IsNext", "NotNext")[int(logits.argmax())] or (logits[0] - logits[1]).abs() < TOLERANCE, row
    return (logits - torch.tensor(row["logits"])).abs().max().item()


def compare_score(model, tokenizer, row):
    return abs(logits_of(model, tokenizer, row).item() - row["score"])


def compare_labels(model, tokenizer, row):
    logits = logits_of(model, tokenizer, row)
    for id, probability in enumerate(logits.sigmoid().tolist()):
        name = model.config.id2label[id]
        assert abs(row["scores"][name] - probability) < TOLERANCE, row
        assert (name in row["labels"]) == (probability > 0.5) or abs(probability - 0.5) < TOLERANCE, row
    return (logits - torch.tensor(row["logits"])).abs().max().item()


def compare_entities(model, tokenizer, row):
    """Each word's logits are those of its first WordPiece; the entities are the pipeline's."""
    encoding = tokenizer(row["text"], return_tensors="pt", return_offsets_mapping=True)
    offsets = encoding.pop("offset_mapping")[0].tolist()
    words = encoding.word_ids()
    firsts = [i for i, word in enumerate(words) if word is not None and words[i - 1] != word]
    with torch.no_grad():
        logits = model(**encoding).logits[0][firsts]
    assert len(firsts) == len(row["tokens"]), row
    for token, first, tag in zip(row["tokens"], firsts, row["tags"]):
        assert row["text"][offsets[first][0] :].startswith(token), (token, row)
        assert tag in model.config.label2id, row
    pipeline = transformers.pipeline("token-classification", model=model, tokenizer=tokenizer, aggregation_strategy="first")
    theirs = [(e["entity_group"], e["start"], e["end"], float(e["score"])) for e in pipeline(row["text"])]
    ours = [(e["type"], e["start"], e["end"], e["score"]) for e in row["entities"]]
    assert [e[:3] for e in theirs] == [e[:3] for e in ours], (theirs, ours)
    assert all(abs(t[3] - o[3]) < TOLERANCE for t, o in zip(theirs, ours)), (theirs, ours)
    assert all(row["text"][e["start"] : e["end"]] == e["text"] for e in row["entities"]), row
    return (logits - torch.tensor(row["logits"])).abs().max().item()


# name: what writes the data and says how it is prepared and predicted, the Auto class, what compares one line of `berth predict --logits` with
# the model and returns the largest difference of logits, problem_type in config.json, more options of `berth train`. To add a task, add a line.
TASKS = {
    "classification": (write_reviews, transformers.AutoModelForSequenceClassification, compare_label, "single_label_classification"),
    "documents": (write_documents, transformers.AutoModelForSequenceClassification, compare_document, "single_label_classification"),
    "regression": (write_scores, transformers.AutoModelForSequenceClassification, compare_score, "regression"),
    "multi-label": (write_labels, transformers.AutoModelForSequenceClassification, compare_labels, "multi_label_classification"),
    "multiple-choice": (write_choices, transformers.AutoModelForMultipleChoice, compare_choice, None),
    "next-sentence-prediction": (write_next_sentences, transformers.AutoModelForNextSentencePrediction, compare_next_sentence, None),
    "ner": (write_entities, transformers.AutoModelForTokenClassification, compare_entities, None),
    "classification, custom head": (write_reviews, transformers.AutoModelForSequenceClassification, compare_label, "single_label_classification",
                                    "--pooling", "mean", "--head-hidden-sizes", "64,24", "--head-activation", "gelu"),
    "multi-label, custom head": (write_labels, transformers.AutoModelForSequenceClassification, compare_labels, "multi_label_classification",
                                 "--pooling", "max", "--head-hidden-sizes", "32"),
    "ner, custom head": (write_entities, transformers.AutoModelForTokenClassification, compare_entities, None, "--head-hidden-sizes", "64",
                         "--head-activation", "tanh"),
}


def fine_tune(program, model, family, work, task):
    data, run = work / "data.h5", work / "run"
    if family != "bert":
        start = work / "start"
        begin(TASKS[task][1], family, model).base_model.save_pretrained(start)
        transformers.AutoTokenizer.from_pretrained(model).save_pretrained(start)
        model = start
    prepare, predict = TASKS[task][0](work)
    berth(program, "prepare", *prepare, "--validation-split", 0.2, "--tokenizer", model, "--output", data)
    berth(program, "train", "--model", model, "--data", data, "--output-dir", run, "--max-steps", STEPS, "--logging-steps", 1,
          "--eval-strategy", "epoch", "--max-eval-samples", 32, "--global-batch-size", 16, "--learning-rate", 1e-3 if task.startswith("ner") else 1e-4, *TASKS[task][4:], ranks=2)
    berth(program, "predict", "--model", run, *predict, "--logits", "--output", work / "predictions.jsonl")
    return run, [json.loads(line) for line in (work / "predictions.jsonl").open()]


def compare_outputs(run, predictions, task):
    tokenizer = transformers.AutoTokenizer.from_pretrained(run, trust_remote_code=True)
    model = load(TASKS[task][1], run)
    assert model.config.problem_type == TASKS[task][3], model.config.problem_type
    assert {v: k for k, v in model.config.id2label.items()} == model.config.label2id, model.config.label2id
    assert task in ("regression", "multiple-choice", "next-sentence-prediction") or not any(name.startswith("LABEL_") for name in model.config.label2id), model.config.label2id
    worst = max(TASKS[task][2](model, tokenizer, row) for row in predictions)
    assert not task.startswith("ner") or len({entity["type"] for row in predictions for entity in row["entities"]}) == 2, "no entities to compare"
    assert worst < TOLERANCE, worst
    print(f"{task}: transformers gives the same outputs for {len(predictions)} texts (largest difference of logits {worst:.1e})")


def compare_events(run):
    logged = {record["step"]: record["loss"] for record in map(json.loads, (run / "metrics.jsonl").open()) if "loss" in record}
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    shown = {event.step: event.value for event in events.Scalars("train/loss")}
    assert len(logged) == STEPS and shown.keys() == logged.keys(), (logged, shown)
    assert all(abs(shown[step] - loss) <= 1e-6 * abs(loss) for step, loss in logged.items()), (logged, shown)
    print(f"TensorBoard reads the {len(shown)} losses of metrics.jsonl")


# What the Hub calls a task.
HUB_TASKS = {"ner": "token-classification", "ner, custom head": "token-classification", "multiple-choice": "multiple-choice", "next-sentence-prediction": None}


def compare_card(run, model, task):
    """The card has what huggingface_hub's parser finds in the cards of Trainer: library, pipeline and, where the Hub has a name for the task, the last
    evaluation."""
    card = ModelCard.load(run / "README.md")
    results = json.loads((run / "eval_results.json").read_text())
    kind = HUB_TASKS.get(task, "text-classification")
    assert (card.data.library_name, card.data.pipeline_tag) == ("transformers", kind), card.data.to_dict()
    assert card.data.base_model is None and f"`{model}`" in card.text, card.text  # a folder is no name on the Hub
    found = {result.metric_type: result.metric_value for result in card.data.eval_results or []}
    assert bool(found) == (kind is not None) and found.keys() == set(card.data.metrics or []), (found, card.data.metrics)
    if found:
        assert card.data.model_name == run.name, card.data.to_dict()
    assert all(result.task_type == kind and result.dataset_split == "validation" for result in card.data.eval_results or []), found
    assert all(results["eval_" + name] == value for name, value in found.items()), (found, results)
    print(f"{task}: huggingface_hub reads {len(found)} metrics in the model card")


def main():
    transformers.logging.set_verbosity_error()
    program, model, family = sys.argv[1], pathlib.Path(sys.argv[2]), (sys.argv[3:] or ["bert"])[0]
    some = {"distilbert": ("classification", "ner", "multiple-choice"), "electra": ("classification", "ner")}  # the others' heads are the same
    for task in some.get(family, TASKS):
        with tempfile.TemporaryDirectory() as work:
            run, predictions = fine_tune(program, model, family, pathlib.Path(work), task)
            compare_outputs(run, predictions, task)
            compare_card(run, model if family == "bert" else pathlib.Path(work) / "start", task)
            compare_events(run)


if __name__ == "__main__":
    main()

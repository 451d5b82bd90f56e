"""Compares runs of `berth train --config FILE` with Trainer's own, live: FILE is what TrainingArguments.to_json_string() writes.

    compare_training_arguments.py BERTH

A small random model, 45 texts. Steps, epochs and learning rates that are logged, evaluations, checkpoints, best model and seeds must be the same; what
changes results and is not in berth must be one error; and docs/from-trainer.md (which a test compares with the program) must know every setting of this
version of transformers, with its default.
"""
import dataclasses
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import torch
import transformers
from live import berth

ROWS, EVALUATED = 45, 12
DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "from-trainer.md"
WORDS = "a the good bad film plot of it is was".split()
RUNS = {
    "epochs": dict(num_train_epochs=2.5, learning_rate=3e-4, lr_scheduler_type="cosine", warmup_steps=0.2, gradient_accumulation_steps=2,
                   per_device_train_batch_size=4, logging_steps=0.1, logging_first_step=True, eval_strategy="epoch", save_strategy="epoch", seed=7,
                   do_train=True, dataloader_num_workers=0, report_to="tensorboard"),
    "steps": dict(max_steps=12, warmup_steps=3, lr_scheduler_type="cosine_with_min_lr", lr_scheduler_kwargs={"min_lr_rate": 0.1}, optim="adamw_torch",
                  weight_decay=0.01, logging_steps=1, eval_strategy="steps", eval_steps=0.4, eval_delay=4, save_steps=5, data_seed=3, max_grad_norm=0.5,
                  label_smoothing_factor=0.1, dataloader_drop_last=True, activation_checkpointing=True, run_name="a run", torch_empty_cache_steps=4),
    "best": dict(load_best_model_at_end=True, eval_strategy="steps", eval_steps=6, save_steps=6, save_total_limit=3),
}


def documented():
    """Of docs/from-trainer.md: each setting's default, as JSON, and which are of transformers 4 alone."""
    tables = DOCS.read_text(encoding="utf-8").partition("## Option by option")[2]
    now, _, before = tables.partition("### Only in transformers 4")
    names = [dict(re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|", text, re.MULTILINE)) for text in (now, before)]
    return names[0], set(names[1])


def as_documented(value):
    return value if isinstance(value, str) and value else json.dumps(value, separators=(",", ":"))


def check_documentation():
    now, before = documented()
    dump = json.loads(transformers.TrainingArguments().to_json_string())
    dump |= {"accelerator_config": None} | {f"accelerator_config.{name}": value for name, value in dump["accelerator_config"].items()}
    missing, gone = dump.keys() - now.keys(), now.keys() - dump.keys()
    assert not missing, f"launcher/training_arguments_table.cc does not know {missing}, which transformers {transformers.__version__} has"
    assert not gone and not before & dump.keys(), f"transformers {transformers.__version__} has {before & dump.keys()}, and not {gone}"
    fields = {field.name for field in dataclasses.fields(transformers.TrainingArguments)}
    assert fields <= now.keys(), fields - now.keys()
    other = {name: (now[name], value) for name, value in dump.items() if now[name] != as_documented(value)}
    assert not other, f"other defaults than documented: {other}"


def prepare(program, folder):
    """A model folder and data for berth, and the same samples for Trainer."""
    model = folder / "model"
    config = transformers.BertConfig(vocab_size=5 + len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
                                     max_position_embeddings=128, id2label={0: "no", 1: "yes"}, label2id={"no": 0, "yes": 1})
    transformers.set_seed(1)
    transformers.BertForSequenceClassification(config).save_pretrained(model)
    (model / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]) + "\n")
    draw = torch.Generator().manual_seed(1)
    samples, files = [], []
    for name, rows in (("train", ROWS), ("validation", EVALUATED)):
        words = torch.randint(len(WORDS), (rows, 6), generator=draw).tolist()
        labels = [row % 2 for row in range(rows)]
        samples.append([{"input_ids": [2, *(5 + word for word in text), 3], "labels": label} for text, label in zip(words, labels)])
        files.append(folder / f"{name}.csv")
        files[-1].write_text("text,label\n" + "".join(" ".join(WORDS[word] for word in text) + f",{('no', 'yes')[label]}\n" for text, label in zip(words, labels)))
    berth(program, "prepare", "--train-file", files[0], "--validation-file", files[1], "--tokenizer", model, "--output", folder / "data.h5")
    return model, folder / "data.h5", samples


def train_both(program, folder, chosen, model, data, samples):
    """Trainer's run folder and berth's."""
    arguments = transformers.TrainingArguments(output_dir=str(folder / "trainer"), use_cpu=True, disable_tqdm=True, **chosen)
    (folder / "arguments.json").write_text(arguments.to_json_string())
    bert = transformers.BertForSequenceClassification.from_pretrained(model)
    trainer = transformers.Trainer(bert, arguments, train_dataset=samples[0], eval_dataset=samples[1])
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    trainer.save_state()
    berth(program, "train", "--config", folder / "arguments.json", "--model", model, "--data", data, "--output-dir", folder / "berth")
    return arguments, folder / "trainer", folder / "berth"


def logged(state, but):
    """Of a log history: steps, epochs and learning rates of what was logged, but for a step, and the steps of evaluations."""
    losses = [(log["step"], round(log["epoch"], 3), round(log["learning_rate"], 9)) for log in state["log_history"] if "loss" in log and log["step"] != but]
    return losses, [log["step"] for log in state["log_history"] if "eval_loss" in log]


def as_option(value):
    return value if value is None or isinstance(value, str) else json.dumps(value)


def compare(arguments, theirs, ours):
    states = [json.loads((run / "trainer_state.json").read_text()) for run in (theirs, ours)]
    for key in ("max_steps", "global_step"):
        assert states[0][key] == states[1][key], (key, states[0][key], states[1][key])
    theirs_logged, ours_logged = (logged(state, but=states[0]["max_steps"]) for state in states)  # which berth always logs
    assert theirs_logged == ours_logged, (theirs_logged, ours_logged)
    checkpoints = [sorted(path.name for path in run.glob("checkpoint-*")) for run in (theirs, ours)]
    assert checkpoints[0] == checkpoints[1], checkpoints
    tensorboard = [bool(list(run.rglob("*tfevents*"))) for run in (theirs, ours)]
    assert tensorboard[0] == tensorboard[1], tensorboard
    options = json.loads((ours / "provenance.json").read_text())["options"]
    assert int(options["seed"]) == arguments.seed and options.get("data-seed") == as_option(arguments.data_seed), options
    for name in ("weight_decay", "adam_beta2", "max_grad_norm", "label_smoothing_factor"):
        assert float(options[name.replace("_", "-")]) == getattr(arguments, name), (name, options)
    for name in ("metric_for_best_model", "greater_is_better", "save_total_limit"):
        value = getattr(arguments, name)
        assert value is None or options[name.replace("_", "-")] == as_option(value), (name, options)
    log = (ours / "berth.log").read_text()
    assert re.search(r"\d+ of Trainer's settings have no effect here", log), log


def check_errors(program, folder):
    dump = json.loads(transformers.TrainingArguments(optim="sgd", fsdp_config={}, neftune_noise_alpha=5, train_sampling_strategy="group_by_length",
                                                     lr_scheduler_type="greedy", eval_strategy="epoch", use_cpu=True).to_json_string())
    (folder / "bad.json").write_text(json.dumps(dump | {"deepspeed": "ds.json"}))
    done = subprocess.run([program, "train", "--config", folder / "bad.json"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    for name in ("optim sgd", "neftune_noise_alpha 5", "train_sampling_strategy group_by_length", "lr_scheduler_type greedy", "deepspeed ds.json"):
        assert name in done.stderr, (name, done.stderr)


def main(program):
    check_documentation()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        check_errors(program, folder)
        model, data, samples = prepare(program, folder)
        for name, chosen in RUNS.items():
            (folder / name).mkdir()
            compare(*train_both(program, folder / name, chosen, model, data, samples))
            print(f"{name}: as Trainer")


if __name__ == "__main__":
    main(*sys.argv[1:])

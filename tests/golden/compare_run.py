"""Compares a run folder of berth with what transformers and TensorBoard make of it, live.

    compare_run.py BERTH MODEL

Fine-tunes MODEL for a few steps on 2 MPI ranks on the demo reviews. Then the run folder must load with transformers' Auto classes, label
names included, and give the logits that `berth predict` gives (to 1e-4, fp32), and TensorBoard's reader must find the losses of metrics.jsonl.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

DEMO = pathlib.Path(__file__).resolve().parents[2] / "data" / "demo"
STEPS, TOLERANCE = 12, 1e-4


def berth(program, *arguments, ranks=1):
    launch = ["mpirun", "-np", str(ranks)] if ranks > 1 else []
    done = subprocess.run([*launch, program, *map(str, arguments)], capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def fine_tune(program, model, work):
    data, run = work / "data.h5", work / "run"
    berth(program, "prepare", "--task", "classification", "--train-file", DEMO / "train.csv", "--validation-split", 0.2, "--tokenizer", model,
          "--output", data)
    berth(program, "train", "--model", model, "--data", data, "--output-dir", run, "--max-steps", STEPS, "--logging-steps", 1,
          "--max-eval-samples", 32, "--global-batch-size", 16, "--learning-rate", 1e-4, ranks=2)
    berth(program, "predict", "--model", run, "--input", DEMO / "test.csv", "--logits", "--output", work / "predictions.jsonl")
    return run, [json.loads(line) for line in (work / "predictions.jsonl").open()]


def compare_logits(run, predictions):
    tokenizer = transformers.AutoTokenizer.from_pretrained(run)
    model, info = transformers.AutoModelForSequenceClassification.from_pretrained(run, output_loading_info=True)
    for key in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[key], (key, info[key])
    assert sorted(model.config.id2label.values()) == ["negative", "positive"], model.config.id2label
    assert {v: k for k, v in model.config.id2label.items()} == model.config.label2id, model.config.label2id
    worst = 0.0
    for row in predictions:
        with torch.no_grad():
            logits = model.eval()(**tokenizer(row["text"], truncation=True, max_length=128, return_tensors="pt")).logits[0]
        worst = max(worst, (logits - torch.tensor(row["logits"])).abs().max().item())
        assert row["label"] == model.config.id2label[int(logits.argmax())] or (logits[0] - logits[1]).abs() < TOLERANCE, row
    assert len(predictions) == 200 and worst < TOLERANCE, (len(predictions), worst)
    print(f"transformers gives the same logits on {len(predictions)} reviews (largest difference {worst:.1e})")


def compare_events(run):
    logged = {record["step"]: record["loss"] for record in map(json.loads, (run / "metrics.jsonl").open()) if "loss" in record}
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    shown = {event.step: event.value for event in events.Scalars("train/loss")}
    assert len(logged) == STEPS and shown.keys() == logged.keys(), (logged, shown)
    assert all(abs(shown[step] - loss) <= 1e-6 * abs(loss) for step, loss in logged.items()), (logged, shown)
    print(f"TensorBoard reads the {len(shown)} losses of metrics.jsonl")


def main():
    transformers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as work:
        run, predictions = fine_tune(sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(work))
        compare_logits(run, predictions)
        compare_events(run)


if __name__ == "__main__":
    main()

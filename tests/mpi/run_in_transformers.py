"""A run's folder as its readers see it: transformers loads the model and gives the same logits, TensorBoard reads the events.

    run_in_transformers.py BERTH FOLDER     BERTH: the program; FOLDER: a tiny job's (model/, data.h5, validation.csv)
"""
import csv
import json
import os
import subprocess
import sys

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import AutoModelForSequenceClassification, AutoTokenizer

berth, folder = sys.argv[1:3]
run = os.path.join(folder, "run-in-transformers")


def call(*arguments):
    subprocess.run([berth, *arguments], check=True, stdout=subprocess.DEVNULL)


call("train", "--model", f"{folder}/model", "--data", f"{folder}/data.h5", "--output-dir", run, "--max-steps", "8", "--logging-steps", "2",
     "--learning-rate", "1e-3", "--eval-strategy", "steps", "--eval-steps", "4", "--disable-tqdm")
call("predict", "--model", run, "--input", f"{folder}/validation.csv", "--logits", "--max-length", "32", "--output", f"{run}/predictions.jsonl")

model = AutoModelForSequenceClassification.from_pretrained(run)
tokenizer = AutoTokenizer.from_pretrained(run)
assert model.config.id2label == {0: "negative", 1: "positive"}, model.config.id2label
texts = [row["text"] for row in csv.DictReader(open(f"{folder}/validation.csv"))]
ours = [json.loads(line) for line in open(f"{run}/predictions.jsonl")]
assert [line["text"] for line in ours] == texts
with torch.no_grad():
    theirs = model.eval()(**tokenizer(texts, truncation=True, max_length=32, padding=True, return_tensors="pt")).logits
difference = (theirs - torch.tensor([line["logits"] for line in ours])).abs().max().item()
assert difference < 1e-4, difference
assert [model.config.id2label[i] for i in theirs.argmax(-1).tolist()] == [line["label"] for line in ours]

events = EventAccumulator(f"{run}/tensorboard")
events.Reload()
assert [event.step for event in events.Scalars("train/loss")] == [2, 4, 6, 8]
assert [event.step for event in events.Scalars("eval/accuracy")] == [4, 8]
curve = [json.loads(line) for line in open(f"{run}/metrics.jsonl")]
logged = [record["loss"] for record in curve if "loss" in record]
assert all(abs(a - b.value) < 1e-6 for a, b in zip(logged, events.Scalars("train/loss"), strict=True))

print(f"logits of {len(texts)} texts equal to {difference:.1e}; TensorBoard reads {len(logged)} losses")

"""Hugging Face's side of run.py, on the samples of a .h5 that berth prepare wrote.

  hugging_face.py train MODEL DATA [--batch N] [--steps N] [--grouped]   Trainer in bf16, sdpa: samples a second from the 20th step on
  hugging_face.py evaluate RUN DATA                                      mean loss of the validation split, fp32
"""
import argparse
import json
import time

import h5py
import torch
from transformers import (BertConfig, BertForSequenceClassification, BertTokenizerFast, DataCollatorWithPadding, Trainer, TrainerCallback,
                          TrainingArguments)

parser = argparse.ArgumentParser()
parser.add_argument("what", choices=["train", "evaluate"])
parser.add_argument("model")
parser.add_argument("data")
parser.add_argument("--batch", type=int, default=32)
parser.add_argument("--steps", type=int, default=100)
parser.add_argument("--grouped", action="store_true")
a = parser.parse_args()


def samples_of(split):
    with h5py.File(a.data) as file:
        group = file[split]
        ids, offsets, labels = group["input_ids"][:], group["offsets"][:], group["labels"][:]
    return [{"input_ids": ids[offsets[i]:offsets[i + 1]].astype("int64").tolist(), "attention_mask": [1] * int(offsets[i + 1] - offsets[i]),
             "labels": int(labels[i])} for i in range(len(labels))]


def evaluate():
    model = BertForSequenceClassification.from_pretrained(a.model).cuda().eval()
    total, samples = 0.0, samples_of("validation")
    with torch.no_grad():
        for sample in samples:
            batch = {key: torch.tensor([value]).cuda() for key, value in sample.items()}
            total += model(**batch).loss.item()
    print(json.dumps({"loss": total / len(samples)}))


class Clock(TrainerCallback):
    def __init__(self):
        self.times = []

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step in (20, a.steps):
            torch.cuda.synchronize()
            self.times.append(time.perf_counter())


def train():
    samples = samples_of("train")
    samples = samples * (1 + a.batch * a.steps // len(samples))
    model = BertForSequenceClassification(BertConfig.from_pretrained(a.model, num_labels=2, attn_implementation="sdpa"))
    common = dict(per_device_train_batch_size=a.batch, max_steps=a.steps, learning_rate=5e-5, report_to="none", save_strategy="no",
                  disable_tqdm=True, logging_steps=50, seed=1, bf16=True, dataloader_num_workers=2)
    try:
        arguments = TrainingArguments("trainer", **common, **({"train_sampling_strategy": "group_by_length"} if a.grouped else {}))
    except TypeError:  # transformers 4
        arguments = TrainingArguments("trainer", **common, group_by_length=a.grouped)
    clock = Clock()
    collator = DataCollatorWithPadding(BertTokenizerFast.from_pretrained(a.model))
    Trainer(model, arguments, train_dataset=samples, data_collator=collator, callbacks=[clock]).train()
    print(json.dumps({"samples_per_second": a.batch * (a.steps - 20) / (clock.times[1] - clock.times[0]),
                      "peak_gib": torch.cuda.max_memory_allocated() / 2**30}))


{"train": train, "evaluate": evaluate}[a.what]()

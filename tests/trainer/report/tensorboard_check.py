"""Reads what write_events wrote with TensorBoard's own reader: each step once, the resumed job's values, all tags.

usage: tensorboard_check.py WRITE_EVENTS    (needs the tensorboard package)
"""
import subprocess
import sys
import tempfile

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

with tempfile.TemporaryDirectory() as folder:
    subprocess.run([sys.argv[1], folder], check=True)
    events = EventAccumulator(folder)
    events.Reload()
    scalars = {tag: [(e.step, round(e.value, 6)) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}

assert scalars["train/loss"] == [(10, 10), (20, 20), (30, 50), (40, 60)], scalars["train/loss"]
assert scalars["eval/accuracy"] == [(10, 0.25), (20, 0.25), (30, 20.25), (40, 20.25)], scalars["eval/accuracy"]
assert scalars["train/learning_rate"] == [(s, 5e-05) for s in (10, 20, 30, 40)], scalars["train/learning_rate"]
assert scalars["train/epoch"] == [(s, s / 100) for s in (10, 20, 30, 40)], scalars["train/epoch"]
assert scalars["train/grad_norm"] == [(s, 0) for s in (10, 20, 30, 40)], scalars["train/grad_norm"]
assert scalars["train/train_loss"] == [(40, 0.125)], scalars["train/train_loss"]

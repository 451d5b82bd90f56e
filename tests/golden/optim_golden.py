"""Writes optim.json: learning-rate factors of transformers' schedules, and parameters after torch.optim.AdamW with clipping and with a
learning rate for each group of parameters, after LAMB by the formulas of its paper, and their exponential moving averages.

    python optim_golden.py > optim.json        (torch 2.15.0, transformers 5.23.0)
"""
import json
import math

import torch
from transformers import get_scheduler

PEAK = 5e-5


def schedule(name, total, warmup, **kwargs):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([parameter], lr=PEAK)
    scheduler = get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=total,
                              scheduler_specific_kwargs=kwargs)
    factors = []
    for _ in range(total + 2):
        factors.append(scheduler.get_last_lr()[0] / PEAK)
        optimizer.step()
        scheduler.step()
    return {"name": name, "total": total, "warmup": warmup, "kwargs": kwargs, "factors": factors}


def plateau(metrics, **kwargs):
    """Of two groups of parameters, after each of the metrics."""
    peaks = [1e-3, 2e-5]
    optimizer = torch.optim.AdamW([{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": peak} for peak in peaks])
    scheduler = get_scheduler("reduce_lr_on_plateau", optimizer, scheduler_specific_kwargs=kwargs)
    rates = []
    for metric in metrics:
        scheduler.step(metric)
        rates.append([group["lr"] for group in optimizer.param_groups])
    return {"peaks": peaks, "kwargs": kwargs, "metrics": [metric if math.isfinite(metric) else None for metric in metrics], "rates": rates}


class Lamb:
    """Algorithm 2 of You et al. 2020, with bias correction and phi the identity; no trust ratio for what has no weight decay by its kind."""

    def __init__(self, groups, lr, betas, eps):
        self.groups, self.lr, self.betas, self.eps, self.t = groups, lr, betas, eps, 0
        self.moments = {p: (torch.zeros_like(p), torch.zeros_like(p)) for group in groups for p in group["params"]}

    @torch.no_grad()
    def step(self):
        self.t += 1
        beta1, beta2 = self.betas
        for group in self.groups:
            for p in group["params"]:
                m, v = self.moments[p]
                m.copy_(beta1 * m + (1 - beta1) * p.grad)
                v.copy_(beta2 * v + (1 - beta2) * p.grad**2)
                update = m / (1 - beta1**self.t) / ((v / (1 - beta2**self.t)).sqrt() + self.eps) + group["weight_decay"] * p
                weights, updates = p.norm(), update.norm()
                ratio = weights / updates if group["adapts"] and weights > 0 and updates > 0 else 1.0
                p.sub_(self.lr * ratio * update)


EMA_DECAY = 0.9


def optimized(kind, decay, max_norm, steps=6, rows=5, width=3):
    torch.manual_seed(3)
    table = torch.nn.Parameter(torch.randn(rows, width))
    bias = torch.nn.Parameter(torch.randn(width))
    start = [table.detach().flatten().tolist(), bias.detach().tolist()]
    groups = [{"params": [table], "weight_decay": decay, "adapts": True}, {"params": [bias], "weight_decay": 0.0, "adapts": False}]
    averages, average = [p.detach().clone() for p in (table, bias)], torch.optim.swa_utils.get_ema_multi_avg_fn(EMA_DECAY)
    optimizer = kind(groups, lr=1e-2, betas=(0.9, 0.999), eps=1e-8)
    history = []
    for step in range(steps):
        touched = sorted({step % rows, (step * 2) % rows} - {4})  # row 4 never has a gradient
        table.grad = torch.zeros(rows, width)
        table.grad[touched] = torch.randn(len(touched), width)
        bias.grad = torch.randn(width)
        grads = [table.grad.flatten().tolist(), bias.grad.tolist()]
        norm = torch.nn.utils.clip_grad_norm_([table, bias], max_norm if max_norm > 0 else float("inf")).item()
        optimizer.step()
        average(averages, [table.detach(), bias.detach()], step + 1)
        history.append({"touched": touched, "grads": grads, "norm": norm, "after": [table.detach().flatten().tolist(), bias.detach().tolist()],
                        "averages": [a.flatten().tolist() for a in averages]})
    return {"decay": decay, "max_norm": max_norm, "rows": rows, "width": width, "start": start, "steps": history}


LAYERS = 2
NAMES = ["bert.embeddings.word_embeddings.weight", "bert.embeddings.LayerNorm.bias", "bert.encoder.layer.0.output.dense.weight",
         "bert.encoder.layer.1.output.dense.weight", "bert.encoder.layer.1.output.dense.bias", "bert.pooler.dense.weight", "classifier.weight"]


def scale(name, decay):
    """BEiT's get_layer_id and LayerDecayValueAssigner for BERT's names: of L + 2 depths, the deepest 0, the last has the whole rate."""
    if name.startswith("bert.embeddings"):
        depth = 0
    elif name.startswith("bert.encoder.layer."):
        depth = int(name.split(".")[3]) + 1
    else:
        depth = LAYERS + 1
    return decay ** (LAYERS + 1 - depth)


def rate_groups(learning_rate, decay, head, weight_decay, steps=5):
    torch.manual_seed(4)
    parameters = [torch.nn.Parameter(torch.randn(2)) for _ in NAMES]
    start = [p.tolist() for p in parameters]
    optimizer = torch.optim.AdamW(
        [{"params": [p], "lr": head if head is not None and name == "classifier.weight" else learning_rate * scale(name, decay),
          "weight_decay": 0.0 if name.endswith("bias") else weight_decay} for name, p in zip(NAMES, parameters)], lr=learning_rate)
    scheduler = get_scheduler("linear", optimizer, num_warmup_steps=2, num_training_steps=steps)
    history = []
    for _ in range(steps):
        for p in parameters:
            p.grad = torch.randn(2)
        grads = [p.grad.tolist() for p in parameters]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        scheduler.step()
        history.append({"grads": grads, "after": [p.tolist() for p in parameters]})
    return {"names": NAMES, "learning_rate": learning_rate, "decay": decay, "head": head, "weight_decay": weight_decay, "start": start,
            "steps": history}


schedules = [
    *[(name, {}) for name in ["linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup", "inverse_sqrt"]],
    ("cosine", {"num_cycles": 1.25}), ("cosine_with_restarts", {"num_cycles": 3}), ("polynomial", {"power": 2.0, "lr_end": 1e-6}),
    ("inverse_sqrt", {"timescale": 4}), ("cosine_with_min_lr", {"min_lr_rate": 0.1}), ("cosine_with_min_lr", {"min_lr": 1e-5, "num_cycles": 0.75}),
    ("cosine_warmup_with_min_lr", {"min_lr_rate": 0.1}), ("cosine_warmup_with_min_lr", {"min_lr": 1e-5, "warmup_lr_rate": 0.2}),
    ("warmup_stable_decay", {"num_decay_steps": 6}), ("warmup_stable_decay", {"num_decay_steps": 6, "num_stable_steps": 4, "min_lr_ratio": 0.1}),
    ("warmup_stable_decay", {"num_decay_steps": 8, "warmup_type": "cosine", "decay_type": "linear", "min_lr_ratio": 0.2}),
    ("warmup_stable_decay", {"num_decay_steps": 3, "warmup_type": "1-sqrt", "decay_type": "1-sqrt"}),
    ("warmup_stable_decay", {"num_decay_steps": 10, "num_cycles": 1.5})]
falling = [0.9, 0.8, 0.79999, 0.81, 0.8, float("nan"), 0.7, 0.7, 0.7, 0.7, 0.7, 0.69, 0.69, 0.69, 0.69, 0.69, 0.69, 0.69, 0.69, 0.69, 0.69, 0.69,
           0.69, 0.69, 0.69, 0.1, 0.2]
print(json.dumps({
    "peak": PEAK,
    "schedules": [schedule(n, t, w, **kwargs) for n, kwargs in schedules for t, w in [(20, 0), (20, 5), (7, 7)] if not (n == "polynomial" and t == w)],
    "plateaus": [plateau(falling), plateau(falling, patience=1, factor=0.5), plateau(falling, patience=0, factor=0.3, min_lr=5e-6, eps=2e-6),
                 plateau(falling, patience=1, cooldown=2, factor=0.5, threshold=0.05, threshold_mode="abs"),
                 plateau([-m for m in falling], mode="max", patience=1, threshold=0.01), plateau([1 - m for m in falling], mode="max", patience=0)],
    "ema_decay": EMA_DECAY,
    "adamw": [optimized(torch.optim.AdamW, *numbers) for numbers in [(0.0, 1.0), (0.1, 1.0), (0.1, 0.0)]],
    "lamb": [optimized(Lamb, *numbers) for numbers in [(0.0, 1.0), (0.1, 1.0), (0.1, 0.0)]],
    "rate_groups": [rate_groups(1e-2, 0.7, None, 0.1), rate_groups(1e-2, 0.7, 5e-2, 0.1), rate_groups(1e-2, 1.0, 0.0, 0.0)],
}))

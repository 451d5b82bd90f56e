"""Writes optim.json: learning-rate factors of transformers' schedules and parameters after torch.optim.AdamW with clipping.

    python optim_golden.py > optim.json        (torch 2.15.0, transformers 5.23.0)
"""
import json

import torch
from transformers import get_scheduler

PEAK = 5e-5


def schedule(name, total, warmup):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([parameter], lr=PEAK)
    scheduler = get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=total)
    factors = []
    for _ in range(total + 2):
        factors.append(scheduler.get_last_lr()[0] / PEAK)
        optimizer.step()
        scheduler.step()
    return {"name": name, "total": total, "warmup": warmup, "factors": factors}


def adamw(decay, max_norm, steps=6, rows=5, width=3):
    torch.manual_seed(3)
    table = torch.nn.Parameter(torch.randn(rows, width))
    bias = torch.nn.Parameter(torch.randn(width))
    start = [table.detach().flatten().tolist(), bias.detach().tolist()]
    optimizer = torch.optim.AdamW([{"params": [table], "weight_decay": decay}, {"params": [bias], "weight_decay": 0.0}],
                                  lr=1e-2, betas=(0.9, 0.999), eps=1e-8)
    history = []
    for step in range(steps):
        touched = sorted({step % rows, (step * 2) % rows} - {4})  # row 4 never has a gradient
        table.grad = torch.zeros(rows, width)
        table.grad[touched] = torch.randn(len(touched), width)
        bias.grad = torch.randn(width)
        grads = [table.grad.flatten().tolist(), bias.grad.tolist()]
        norm = torch.nn.utils.clip_grad_norm_([table, bias], max_norm if max_norm > 0 else float("inf")).item()
        optimizer.step()
        history.append({"touched": touched, "grads": grads, "norm": norm,
                        "after": [table.detach().flatten().tolist(), bias.detach().tolist()]})
    return {"decay": decay, "max_norm": max_norm, "rows": rows, "width": width, "start": start, "steps": history}


names = ["linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup", "inverse_sqrt"]
print(json.dumps({
    "peak": PEAK,
    "schedules": [schedule(n, t, w) for n in names for t, w in [(20, 0), (20, 5), (7, 7)] if not (n == "polynomial" and t == w)],
    "adamw": [adamw(0.0, 1.0), adamw(0.1, 1.0), adamw(0.1, 0.0)],
}))

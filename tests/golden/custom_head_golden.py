#!/usr/bin/env python3
"""Tiny random BERTs with custom heads: what the classes that berth saves beside such models compute, for tests/trainer/custom_head_test.cc.

    python3 tests/golden/custom_head_golden.py        # writes custom_head.safetensors and custom_head.json beside itself

The layout is that of model_golden.py, whose batches these are; each case has its own encoder.
"""
import json
import pathlib

import torch
import transformers
from custom_head import modeling
from model_golden import CONFIG, LABELS, LENGTHS, ONE_LABEL, make_batch, run
from safetensors.torch import save_file

CONFIG = CONFIG | dict(num_hidden_layers=1)


def head(pooling, sizes, activation):
    return dict(model_type="berth", pooling=pooling, head_hidden_sizes=sizes, head_activation=activation, head_dropout=0.1)


CASES = {
    "mean": dict(task="sequence-classification", config=LABELS | head("mean", [24, 16], "gelu")),
    "max": dict(task="multi-label", config=LABELS | dict(problem_type="multi_label_classification") | head("max", [20], "relu")),
    "cls": dict(task="regression", config=ONE_LABEL | dict(problem_type="regression") | head("cls", [], "relu")),
    "pooler": dict(task="sequence-classification", config=LABELS | head("pooler", [7], "tanh")),
    "tokens": dict(task="token-classification", config=LABELS | head("pooler", [24, 16], "gelu_new")),
}


def main():
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(7)
    generator = torch.Generator().manual_seed(11)
    classes, folder, tensors = modeling(), pathlib.Path(__file__).parent, {}
    meta = dict(config=transformers.BertConfig(**CONFIG).to_dict(), cases=CASES)
    meta["made_with"] = dict(transformers=transformers.__version__, torch=torch.__version__)
    for name, case in CASES.items():
        kind = classes.BerthForTokenClassification if case["task"] == "token-classification" else classes.BerthForSequenceClassification
        model = kind(classes.BerthConfig(**(CONFIG | {k: v for k, v in case["config"].items() if k != "model_type"}))).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() == 1:
                    parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
        batch = make_batch(case["task"], generator, LENGTHS)
        logits, loss = run(model, batch, case)
        loss.backward()
        tensors |= {f"{name}.parameter.{n}": p.detach() for n, p in model.named_parameters()}
        tensors |= {f"{name}.batch.{k}": v for k, v in batch.items()}
        tensors |= {f"{name}.grad.{n}": p.grad for n, p in model.named_parameters()}
        tensors |= {f"{name}.logits": logits[0].detach(), f"{name}.loss": loss.detach()}
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "custom_head.safetensors")
    (folder / "custom_head.json").write_text(json.dumps(meta, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Samples of several sequences, and the heads that read them: what transformers computes, for tests/trainer/model_golden_test.cc.

    python3 tests/golden/sequences_golden.py        # writes sequences.safetensors and sequences.json beside itself

Both are as model_golden.py describes its own. A batch has cu_samples and sequence_ids too. Documents: their windows' logits come from
BertForSequenceClassification and are pooled here. Choices: BertForMultipleChoice, question by question where they have different numbers of them.
"""
import json
import pathlib

import torch
import transformers
from model_golden import CONFIG, LABELS, ONE_LABEL, SEQUENCE, make_batch, make_model, pad
from safetensors.torch import save_file
from transformers.trainer_pt_utils import LabelSmoother

POOL = {"mean": lambda rows: rows.mean(0), "max": lambda rows: rows.max(0).values, "first": lambda rows: rows[0]}


def documents(task, pooling, config):
    return dict(task=task, architecture=SEQUENCE, counts=[1, 3, 2], pooling=pooling,
                config=config | dict(berth_max_length=24, berth_doc_stride=4, berth_document_pooling=pooling))


CASES = {
    "documents_mean": documents("sequence-classification", "mean", LABELS),
    "documents_max": documents("sequence-classification", "max", LABELS),
    "documents_first": documents("sequence-classification", "first", LABELS),
    "documents_regression": documents("regression", "max", ONE_LABEL | dict(problem_type="regression")),
    "documents_multi_label": documents("multi-label", "mean", LABELS | dict(problem_type="multi_label_classification")),
    "choices": dict(task="multiple-choice", architecture="BertForMultipleChoice", config={}, counts=[2, 3, 2]),
    "choices_smoothing": dict(task="multiple-choice", architecture="BertForMultipleChoice", config={}, counts=[3, 3, 3], label_smoothing=0.1),
    "next_sentence": dict(task="next-sentence-prediction", architecture="BertForNextSentencePrediction", config={}, counts=[1, 1, 1, 1]),
}
LENGTHS = [7, 2, 13, 21, 5, 16, 9, 11, 3]


def batch_of(case, generator):
    counts = case["counts"]
    batch = make_batch("sequence-classification", generator, LENGTHS[: sum(counts)])
    n = len(counts)
    batch["sequence_ids"] = batch["sample_ids"]
    batch["sample_ids"] = torch.randperm(1000, generator=generator)[:n]
    batch["cu_samples"] = torch.tensor([0] + counts).cumsum(0)
    classes = 3 if case["architecture"] == SEQUENCE else 2 if case["architecture"] == "BertForNextSentencePrediction" else min(counts)
    batch["labels"] = torch.randint(classes, (n,), generator=generator)
    if case["task"] == "regression":
        batch["float_labels"] = torch.randn(n, generator=generator)
    if case["task"] == "multi-label":
        batch["float_labels"] = torch.randint(2, (n * 3,), generator=generator).float()
    if "float_labels" in batch:
        del batch["labels"]
    return batch


def run(model, batch, case):
    """(packed logits, mean loss)."""
    cu, cuts = batch["cu_seqlens"], batch["cu_samples"].tolist()
    inputs = dict(input_ids=pad(batch["input_ids"], cu, 0), token_type_ids=pad(batch["token_type_ids"], cu, 0),
                  attention_mask=pad(torch.ones(cu[-1]).long(), cu, 0))
    samples = list(zip(cuts[:-1], cuts[1:]))
    if case["task"] == "next-sentence-prediction":
        out = model(**inputs, labels=batch["labels"])
        return out.logits, out.loss
    if case["task"] == "multiple-choice":
        outs = [model(**{name: rows[None, a:b] for name, rows in inputs.items()}, labels=label[None])
                for (a, b), label in zip(samples, batch["labels"])]
        loss = torch.stack([out.loss for out in outs]).mean()
        if smoothing := case.get("label_smoothing"):
            loss = LabelSmoother(epsilon=smoothing)({"logits": torch.cat([out.logits for out in outs])}, batch["labels"])
        return torch.cat([out.logits[0] for out in outs])[:, None], loss
    rows = model(**inputs).logits
    logits = torch.stack([POOL[case["pooling"]](rows[a:b]) for a, b in samples])
    if case["task"] == "regression":
        return logits, torch.nn.functional.mse_loss(logits.squeeze(), batch["float_labels"])
    if case["task"] == "multi-label":
        return logits, torch.nn.functional.binary_cross_entropy_with_logits(logits, batch["float_labels"].view(-1, 3))
    return logits, torch.nn.functional.cross_entropy(logits, batch["labels"])


def main():
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(17)
    folder = pathlib.Path(__file__).parent
    generator = torch.Generator().manual_seed(19)
    tensors, encoder = {}, None
    for name, case in CASES.items():
        model, encoder = make_model(name, case, encoder, generator, tensors)
        batch = batch_of(case, generator)
        logits, loss = run(model, batch, case)
        loss.backward()
        tensors.update({f"{name}.batch.{k}": v.clone() for k, v in batch.items()})
        tensors.update({f"{name}.logits": logits.detach().clone(), f"{name}.loss": loss.detach().clone()})
        tensors.update({f"{name}.grad.{n}": p.grad.clone() for n, p in model.named_parameters()})
    meta = dict(config=transformers.BertConfig(**CONFIG).to_dict(), cases=CASES,
                made_with=dict(transformers=transformers.__version__, torch=torch.__version__))
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "sequences.safetensors")
    (folder / "sequences.json").write_text(json.dumps(meta, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Tiny random BERTs and relatives: what transformers computes, for tests/trainer/model_golden_test.cc and the training step's test.

    python3 tests/golden/model_golden.py [FAMILY …]     # writes FAMILY.safetensors and FAMILY.json beside itself; all: model distilbert electra

FAMILY.json
  config      config.json shared by all cases; a case's "config" overrides some keys
  cases       name -> {task, architecture, config, label_smoothing}
  adamw       (model.json) ten steps of the case "classification": {lr, betas, eps, weight_decay, clip, warmup_steps, total_steps,
              no_decay (names that end with one of these get no weight decay), losses, learning_rates, grad_norms (before clipping)}

FAMILY.safetensors (fp32 and int64)
  encoder.NAME             the encoder's parameters, the same in all cases (NAME as in the saved model: "bert....")
  CASE.parameter.NAME      the head's parameters (and the pooler's, where the class has one)
  CASE.batch.*             the packed batch: sample_ids, cu_seqlens, input_ids, token_type_ids, position_ids, labels, float_labels,
                           next_sentence_labels
  CASE.logits, CASE.logits2, CASE.loss, CASE.grad.NAME      eval-mode outputs, the mean loss, and its gradients
  adamw.STEP.batch.*       the batch of each of the ten steps
  adamw.final.NAME         the parameters after them

The models run padded to the longest sample, with attention masks; rows of padding are dropped from the outputs. Question answering runs
sample by sample without padding, because BertForQuestionAnswering lets the logits of padding into its softmax.
"""
import json
import pathlib
import sys

import torch
import transformers
from safetensors.torch import save_file
from transformers.trainer_pt_utils import LabelSmoother

CONFIG = dict(vocab_size=61, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
              max_position_embeddings=24, type_vocab_size=2, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
              initializer_range=0.15, pad_token_id=0)
LABELS = dict(id2label={0: "a", 1: "b", 2: "c"}, label2id={"a": 0, "b": 1, "c": 2})
ONE_LABEL = dict(id2label={0: "score"}, label2id={"score": 0})
SEQUENCE = "BertForSequenceClassification"
CASES = {
    "classification": dict(task="sequence-classification", architecture=SEQUENCE, config=LABELS),
    "gelu_new": dict(task="sequence-classification", architecture=SEQUENCE, config=LABELS | dict(hidden_act="gelu_new")),
    "relu": dict(task="sequence-classification", architecture=SEQUENCE, config=LABELS | dict(hidden_act="relu")),
    "tanh": dict(task="sequence-classification", architecture=SEQUENCE, config=LABELS | dict(hidden_act="tanh")),
    "smoothing": dict(task="sequence-classification", architecture=SEQUENCE, config=LABELS, label_smoothing=0.1),
    "regression": dict(task="regression", architecture=SEQUENCE, config=ONE_LABEL | dict(problem_type="regression")),
    "multi_label": dict(task="multi-label", architecture=SEQUENCE,
                        config=LABELS | dict(problem_type="multi_label_classification")),
    "tokens": dict(task="token-classification", architecture="BertForTokenClassification", config=LABELS),
    "tokens_smoothing": dict(task="token-classification", architecture="BertForTokenClassification", config=LABELS,
                             label_smoothing=0.2),
    "answers": dict(task="question-answering", architecture="BertForQuestionAnswering", config={}),
    "masked_lm": dict(task="masked-lm", architecture="BertForMaskedLM", config={}),
    "pretraining": dict(task="pretraining", architecture="BertForPreTraining", config={}),
}


def cases_of(prefix, config):
    """One of each class, some with another activation: heads may have their own."""
    sequence = prefix + "ForSequenceClassification"
    return {
        "classification": dict(task="sequence-classification", architecture=sequence, config=LABELS),
        "multi_label": dict(task="multi-label", architecture=sequence, config=LABELS | dict(problem_type="multi_label_classification")),
        "tokens": dict(task="token-classification", architecture=prefix + "ForTokenClassification", config=LABELS | config),
        "answers": dict(task="question-answering", architecture=prefix + "ForQuestionAnswering", config={}),
        "masked_lm": dict(task="masked-lm", architecture=prefix + "ForMaskedLM", config=config),
    }


# Of each: the config's class, the config that all cases share, the cases.
FAMILIES = {
    "model": (transformers.BertConfig, CONFIG, CASES),
    "distilbert": (transformers.DistilBertConfig,
                   dict(vocab_size=61, dim=16, n_layers=2, n_heads=4, hidden_dim=24, max_position_embeddings=24, dropout=0.0,
                        attention_dropout=0.0, qa_dropout=0.0, seq_classif_dropout=0.0, initializer_range=0.15, sinusoidal_pos_embds=True),
                   cases_of("DistilBert", dict(activation="gelu_new"))),
    "electra": (transformers.ElectraConfig,
                dict(vocab_size=61, embedding_size=12, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24,
                     max_position_embeddings=24, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, initializer_range=0.15),
                cases_of("Electra", dict(hidden_act="gelu_new"))),
}
LENGTHS = [7, 2, 13, 21, 5, 16]
NO_DECAY = ["bias", "LayerNorm.weight"]


def make_batch(task, generator, lengths):
    """The packed batch as a dict of tensors."""
    def draw(high, *size, low=0):
        return torch.randint(low, high, size, generator=generator)
    n, total = len(lengths), sum(lengths)
    batch = dict(sample_ids=torch.randperm(1000, generator=generator)[:n],
                 cu_seqlens=torch.tensor([0] + lengths).cumsum(0),
                 input_ids=draw(CONFIG["vocab_size"], total, low=1),
                 position_ids=torch.cat([torch.arange(length) for length in lengths]),
                 token_type_ids=torch.cat([(torch.arange(length) >= int(draw(length, 1)) + 1).long() for length in lengths]))
    masked = torch.full((total,), -100)
    chosen = torch.rand(total, generator=generator) < 0.4
    if task == "sequence-classification":
        batch["labels"] = draw(3, n)
    elif task == "regression":
        batch["float_labels"] = torch.randn(n, generator=generator)
    elif task == "multi-label":
        batch["float_labels"] = draw(2, n * 3).float()
    elif task == "token-classification":
        batch["labels"] = torch.where(chosen, draw(3, total), masked)
    elif task == "question-answering":
        spans = [sorted((int(draw(length, 1)), int(draw(length, 1)))) for length in lengths]
        batch["labels"] = torch.tensor(spans).flatten()
    else:
        batch["labels"] = torch.where(chosen, draw(CONFIG["vocab_size"], total), masked)
        if task == "pretraining":
            batch["next_sentence_labels"] = draw(2, n)
    return batch


def pad(rows, cu_seqlens, fill):
    parts = [rows[a:b] for a, b in zip(cu_seqlens[:-1], cu_seqlens[1:])]
    return torch.nn.utils.rnn.pad_sequence(parts, batch_first=True, padding_value=fill)


def run(model, batch, case):
    """(list of packed logits, mean loss)."""
    cu, task = batch["cu_seqlens"], case["task"]
    n = len(cu) - 1
    types = dict(token_type_ids=batch["token_type_ids"]) if hasattr(model.config, "type_vocab_size") else {}
    if task == "question-answering":
        outputs, losses = [], []
        for b in range(n):
            part = slice(cu[b], cu[b + 1])
            first, last = batch["labels"].view(n, 2)[b]
            out = model(input_ids=batch["input_ids"][part][None], **{k: v[part][None] for k, v in types.items()},
                        start_positions=first[None], end_positions=last[None])
            outputs.append(torch.stack([out.start_logits[0], out.end_logits[0]], -1))
            losses.append(out.loss)
        return [torch.cat(outputs)], torch.stack(losses).mean()
    present = pad(torch.ones(cu[-1]).long(), cu, 0)
    inputs = dict(input_ids=pad(batch["input_ids"], cu, 0), attention_mask=present, **{k: pad(v, cu, 0) for k, v in types.items()})
    if task == "sequence-classification":
        inputs["labels"] = batch["labels"]
    elif task == "regression":
        inputs["labels"] = batch["float_labels"]
    elif task == "multi-label":
        inputs["labels"] = batch["float_labels"].view(n, 3)
    else:
        inputs["labels"] = pad(batch["labels"], cu, -100)
        if task == "pretraining":
            inputs["next_sentence_label"] = batch["next_sentence_labels"]
    out = model(**inputs)
    loss = out.loss
    if smoothing := case.get("label_smoothing"):
        loss = LabelSmoother(epsilon=smoothing)(out, inputs["labels"])
    if task == "pretraining":
        logits = [out.prediction_logits[present.bool()], out.seq_relationship_logits]
    else:
        logits = [out.logits[present.bool()] if out.logits.dim() == 3 else out.logits]
    if task in ("masked-lm", "pretraining"):  # berth computes targets only
        logits[0] = logits[0][batch["labels"] != -100]
    return logits, loss


def adamw_steps(model, case, generator, tensors):
    model.zero_grad()
    named = list(model.named_parameters())
    groups = [dict(params=[p for n, p in named if not n.endswith(tuple(NO_DECAY))], weight_decay=0.01),
              dict(params=[p for n, p in named if n.endswith(tuple(NO_DECAY))], weight_decay=0.0)]
    lr, warmup, total = 2e-3, 3, 10
    optimizer = torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.999), eps=1e-8)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, warmup, total)
    record = dict(lr=lr, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.01, clip=1.0, warmup_steps=warmup, total_steps=total,
                  no_decay=NO_DECAY, losses=[], learning_rates=[], grad_norms=[])
    for step in range(total):
        lengths = (torch.randint(2, 22, (4,), generator=generator)).tolist()
        batch = make_batch(case["task"], generator, lengths)
        tensors.update({f"adamw.{step}.batch.{k}": v for k, v in batch.items()})
        loss = run(model, batch, case)[1]
        loss.backward()
        record["grad_norms"].append(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item())
        record["learning_rates"].append(schedule.get_last_lr()[0])
        record["losses"].append(loss.item())
        optimizer.step()
        schedule.step()
        model.zero_grad()
    tensors.update({f"adamw.final.{name}": p.detach().clone() for name, p in named})
    return record


def make_model(name, case, encoder, generator, tensors, family="model"):
    """The case's model, whose parameters are put into `tensors`, and the encoder of all cases: the first one's."""
    kind, shared, _ = FAMILIES[family]
    config = kind(**(shared | case["config"]))
    model = getattr(transformers, case["architecture"])(config).eval()
    named = dict(model.named_parameters())
    with torch.no_grad():  # biases and norms off their defaults
        for parameter in named.values():
            if parameter.dim() == 1:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
        if encoder is None:
            encoder = {n: p.detach().clone() for n, p in named.items() if n.startswith(config.model_type + ".") and "pooler" not in n}
            tensors.update({f"encoder.{n}": p for n, p in encoder.items()})
        for n, value in encoder.items():
            named[n].copy_(value)
    tensors.update({f"{name}.parameter.{n}": p.detach().clone() for n, p in named.items() if n not in encoder})
    return model, encoder


def make(family, folder):
    torch.manual_seed(7)
    generator = torch.Generator().manual_seed(11)
    kind, shared, cases = FAMILIES[family]
    tensors, meta, encoder = {}, dict(config=kind(**shared).to_dict(), cases=cases), None
    meta["made_with"] = dict(transformers=transformers.__version__, torch=torch.__version__)
    for name, case in cases.items():
        model, encoder = make_model(name, case, encoder, generator, tensors, family)
        named = dict(model.named_parameters())
        batch = make_batch(case["task"], generator, LENGTHS)
        logits, loss = run(model, batch, case)
        loss.backward()
        tensors.update({f"{name}.batch.{k}": v for k, v in batch.items()})
        tensors.update({f"{name}.logits{i + 1 if i else ''}": x.detach().clone() for i, x in enumerate(logits)})
        tensors[f"{name}.loss"] = loss.detach().clone()
        tensors.update({f"{name}.grad.{n}": p.grad.clone() for n, p in named.items()})
        if family == "model" and name == "classification":
            meta["adamw"] = adamw_steps(model, case, generator, tensors)
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / f"{family}.safetensors")
    (folder / f"{family}.json").write_text(json.dumps(meta, indent=1, sort_keys=True) + "\n")


def main():
    torch.use_deterministic_algorithms(True)
    for family in sys.argv[1:] or FAMILIES:
        make(family, pathlib.Path(__file__).parent)


if __name__ == "__main__":
    main()

"""Compares adapted language models with what transformers makes of them, live.

    compare_language_model.py BERTH MODEL

Adapts MODEL, an encoder, for two steps to the demo reviews, as BertForMaskedLM and as BertForPreTraining. Each folder must load completely
with its Auto class, hold exactly the tensors that transformers itself would save, and give the logits of `berth predict` (to 1e-4, fp32);
the fill-mask pipeline must propose the same tokens.
"""
import csv
import json
import pathlib
import sys
import tempfile

import torch
import transformers
from live import berth, load
from safetensors import safe_open

DEMO = pathlib.Path(__file__).resolve().parents[2] / "data" / "demo"
TEXTS = [("the film was [MASK] .", "i would watch it again"), ("[MASK] acting, and a [MASK] plot!", "it's unaffable")]
TOLERANCE = 1e-4


def adapt(program, model, task, source, work):
    data, run = work / (task + ".h5"), work / task
    berth(program, "prepare", "--task", task, "--train-file", source, "--max-length", 64, "--max-train-samples", 400, "--tokenizer", model, "--output", data)
    berth(program, "train", "--model", model, "--data", data, "--output-dir", run, "--max-steps", 2, "--per-device-train-batch-size", 4)
    arguments = [part for text, pair in TEXTS for part in (["--text", text] + (["--text-pair", pair] if task == "pretraining" else []))]
    berth(program, "predict", "--model", run, "--logits", "--output", work / "out.jsonl", *arguments)
    return run, [json.loads(line) for line in (work / "out.jsonl").open()]


def names(folder):
    with safe_open(folder / "model.safetensors", "pt") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}


def compare(run, predictions, kind, work):
    model = load(kind, run)
    model.save_pretrained(work / "resaved")
    assert names(run) == names(work / "resaved"), names(run).keys() ^ names(work / "resaved").keys()
    tokenizer = transformers.AutoTokenizer.from_pretrained(run)
    worst = 0.0
    for (text, pair), row in zip(TEXTS, predictions, strict=True):
        relation = "next_sentence_logits" in row
        inputs = tokenizer(text, pair if relation else None, return_tensors="pt")
        with torch.no_grad():
            out = model(**inputs)
        logits = out.prediction_logits if relation else out.logits
        logits = logits[0][inputs["input_ids"][0] == tokenizer.mask_token_id]
        worst = max(worst, (logits - torch.tensor(row["logits"])).abs().max().item())
        if relation:
            worst = max(worst, (out.seq_relationship_logits[0] - torch.tensor(row["next_sentence_logits"])).abs().max().item())
            assert row["label"] == ["IsNext", "NotNext"][int(out.seq_relationship_logits[0].argmax())], row
        else:
            fills = transformers.FillMaskPipeline(model=model, tokenizer=tokenizer, top_k=5)(text)
            fills = fills if isinstance(fills[0], list) else [fills]
            for ours, theirs in zip(row["masks"], fills, strict=True):
                for a, b in zip(ours, theirs, strict=True):
                    assert abs(a["score"] - b["score"]) < 1e-5 and {**a, "score": 0} == {**b, "score": 0}, (a, b)
    assert worst < TOLERANCE, worst
    print(f"{type(model).__name__}: the same {len(names(run))} tensors, logits equal to {worst:.1e}")


def main():
    program, model = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    transformers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        with open(DEMO / "train.csv") as file:
            reviews = [row["text"] for row in csv.DictReader(file)]
        documents = work / "documents.txt"
        documents.write_text("\n\n".join("\n".join(reviews[i : i + 8]) for i in range(0, len(reviews), 8)))
        for task, source, kind in (
            ("masked-lm", DEMO / "train.csv", transformers.AutoModelForMaskedLM),
            ("pretraining", documents, transformers.AutoModelForPreTraining),
        ):
            compare(*adapt(program, model, task, source, work), kind, work)


if __name__ == "__main__":
    main()

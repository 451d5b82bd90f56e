"""Compares a question answering run of berth with what transformers makes of it, live.

    compare_question_run.py BERTH DATASETS MODEL

Fine-tunes MODEL for a few steps on 2 MPI ranks on SQuAD 2.0. Then the run folder must load with AutoModelForQuestionAnswering and give the logits
that `berth predict` gives (to 1e-4, fp32), and what `berth evaluate` writes (3 ranks) must be what run_qa would choose from those logits.
"""
import json
import pathlib
import sys
import tempfile

import numpy as np
import torch
import transformers
from live import berth, load
from question_reference import choose, read_questions, windows
from tokenizers import Tokenizer

STEPS, QUESTIONS, MAX_LENGTH, STRIDE, TOLERANCE = 12, 40, 192, 64, 1e-4


def first_questions(path, out):
    """The first QUESTIONS questions as flat rows."""
    questions = list(read_questions(path))[:QUESTIONS]
    with out.open("w") as lines:
        for name, question, context, answers in questions:
            texts, starts = [a[0] for a in answers], [a[1] for a in answers]
            row = {"id": name, "question": question, "context": context, "answers": {"text": texts, "answer_start": starts}}
            lines.write(json.dumps(row) + "\n")
    return questions


def features_of(model, tokenizer, question, context):
    """(start logits, end logits, offsets or None) of each window."""
    for ids, first, offsets, _ in windows(tokenizer, question, context, []):
        types = [int(i >= first) for i in range(len(ids))]
        with torch.no_grad():
            out = model(input_ids=torch.tensor([ids]), token_type_ids=torch.tensor([types]))
        places = [place if first <= i < len(ids) - 1 else None for i, place in enumerate(offsets)]
        yield out.start_logits[0].numpy(), out.end_logits[0].numpy(), places


def main():
    program, datasets, model_folder = sys.argv[1], pathlib.Path(sys.argv[2]) / "squad2", pathlib.Path(sys.argv[3])
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        data, run = work / "data.h5", work / "run"
        questions = first_questions(datasets / "valid.json", work / "valid.jsonl")
        lengths = ["--max-length", MAX_LENGTH, "--doc-stride", STRIDE]
        berth(program, "prepare", "--task", "qa", "--train-file", datasets / "train.json", "--max-train-samples", 200, "--validation-file",
              work / "valid.jsonl", "--tokenizer", model_folder, *lengths, "--output", data)
        berth(program, "train", "--model", model_folder, "--data", data, "--output-dir", run, "--max-steps", STEPS, "--global-batch-size", 8,
              "--learning-rate", 1e-4, "--save-strategy", "no", ranks=2)
        berth(program, "predict", "--model", run, "--input", work / "valid.jsonl", *lengths, "--logits", "--output", work / "predictions.jsonl")
        metrics = json.loads(berth(program, "evaluate", "--model", run, "--data", data, "--version-2-with-negative", "--output-dir",
                                   work / "eval", ranks=3))
        rows = [json.loads(line) for line in (work / "predictions.jsonl").open()]
        predictions, n_best, null_odds = (json.load((work / "eval" / name).open())
                                          for name in ("predictions.json", "nbest_predictions.json", "null_odds.json"))
        model = load(transformers.AutoModelForQuestionAnswering, run)
        tokenizer = Tokenizer.from_file(str(model_folder / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(MAX_LENGTH, stride=STRIDE, strategy="only_second")
        worst, count, differ = 0.0, 0, 0
        assert len(rows) == len(predictions) == len(questions)
        for row, (name, question, context, _) in zip(rows, questions):
            features = list(features_of(model, tokenizer, question, context))
            assert len(features) == len(row["logits"]) and row["id"] == name, name
            for (starts, ends, _), raw in zip(features, row["logits"]):
                worst = max(worst, np.abs(starts - raw["start"]).max(), np.abs(ends - raw["end"]).max())
            ours = [(np.float32(raw["start"]), np.float32(raw["end"]), places) for (_, _, places), raw in zip(features, row["logits"])]
            text, ranked, odds = choose(context, ours, 20, 30, True, 0.0)
            assert abs(odds - null_odds[name]) < TOLERANCE, (name, odds, null_odds[name])
            assert [c["text"] for c in ranked][0] == n_best[name][0]["text"] and len(ranked) == len(n_best[name]), name
            assert abs(ranked[0]["probability"] - n_best[name][0]["probability"]) < TOLERANCE, name
            differ += text != predictions[name]
            count += len(features)
        assert worst < TOLERANCE and differ == 0 and metrics["eval_total"] == QUESTIONS, (worst, differ, metrics)
        print(f"transformers gives the same logits in {count} windows of {QUESTIONS} questions (largest difference {worst:.1e}) and the same answers")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Entities as transformers' TokenClassificationPipeline (aggregation_strategy="first") makes them of random tags, for
tests/trainer/token_entities_test.cc.

    python3 tests/golden/entities_golden.py        # writes entities.json beside itself

entities.json   [[words, entities], …], one a sentence
  words         [[tag, score, start, end], …] of each word: those of its first WordPiece; the other pieces, which the pipeline sees too,
                have tags of their own
  entities      [[type, start, end, score], …]
"""
import json
import pathlib
import random
import types

import numpy as np
from transformers.pipelines.token_classification import AggregationStrategy, TokenClassificationPipeline

CASES = 300
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-art-work", "I-art-work"]


def make_pipeline():
    """Without a model: only what comes behind it."""
    pipeline = TokenClassificationPipeline.__new__(TokenClassificationPipeline)
    pipeline.model = types.SimpleNamespace(config=types.SimpleNamespace(id2label=dict(enumerate(TAGS))))
    pipeline.tokenizer = types.SimpleNamespace(convert_tokens_to_string=" ".join)
    return pipeline


def piece(r, start, end, is_subword):
    tag, score = (0 if r.random() < 0.3 else r.randrange(len(TAGS))), round(r.uniform(0.55, 0.999), 4)
    scores = np.full(len(TAGS), (1 - score) / (len(TAGS) - 1))
    scores[tag] = score
    return dict(word="x", scores=scores, start=start, end=end, index=0, is_subword=is_subword)


def case(pipeline, r):
    pieces, words, at = [], [], 0
    for _ in range(r.randrange(13)):
        at += r.randrange(3)  # no space before punctuation, one elsewhere, or two
        ends = np.cumsum([at] + [r.randrange(1, 5) for _ in range(r.choice([1, 1, 2, 3]))]).tolist()
        word = [piece(r, a, b, i > 0) for i, (a, b) in enumerate(zip(ends[:-1], ends[1:]))]
        tag = int(word[0]["scores"].argmax())
        words.append([TAGS[tag], float(word[0]["scores"][tag]), at, ends[-1]])
        pieces += word
        at = ends[-1]
    groups = [group for group in pipeline.aggregate(pieces, AggregationStrategy.FIRST) if group["entity_group"] != "O"]
    return [words, [[g["entity_group"], g["start"], g["end"], round(float(g["score"]), 12)] for g in groups]]


def main():
    pipeline, r = make_pipeline(), random.Random(5)
    cases = [case(pipeline, r) for _ in range(CASES)]
    lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
    (pathlib.Path(__file__).parent / "entities.json").write_text(f"[\n{lines}\n]\n")
    print(len(cases), "sentences,", sum(len(c[1]) for c in cases), "entities")


if __name__ == "__main__":
    main()

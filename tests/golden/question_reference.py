"""What the scripts on question answering share: Hugging Face's run_qa as the reference.

run_qa.py and utils_qa.py are example scripts, which no package installs; windows, labels and answers are written down here from what they do,
over Hugging Face's own tokenizer. Without padding: padded positions would have logits, too, and crowd out the candidates of low rank.
"""
import json

import numpy as np


def read_questions(path):
    """(id, question, context, [(text, start)]) of a SQuAD file."""
    for article in json.load(open(path, encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            for qa in paragraph["qas"]:
                yield qa["id"], qa["question"], paragraph["context"], [(a["text"], a["answer_start"]) for a in qa["answers"]]


def label(offsets, first, last, answers):
    """The window's first and last token of the first answer; its context are the tokens first to last. (0, 0): not in this window."""
    if not answers:
        return 0, 0
    text, start = answers[0]
    end = start + len(text)
    if first > last or offsets[first][0] > start or offsets[last][1] < end:
        return 0, 0
    token = first
    while token < len(offsets) and offsets[token][0] <= start:  # goes over [SEP], whose offsets are (0, 0)
        token += 1
    back = last
    while offsets[back][1] >= end:
        back -= 1
    return token - 1, back + 1


def windows(tokenizer, question, context, answers):
    """Of a `tokenizers.Tokenizer` with truncation only_second: (ids, segment_b, offsets, label) of each window."""
    encoding = tokenizer.encode(question.lstrip(), context)
    for window in [encoding, *encoding.overflowing]:
        inside = [i for i, sequence in enumerate(window.sequence_ids) if sequence == 1]
        first, last = (inside[0], inside[-1]) if inside else (len(window.ids) - 1, len(window.ids) - 2)
        yield window.ids, first, window.offsets, label(window.offsets, first, last, answers)


def choose(context, features, n_best_size, max_answer_length, version_2_with_negative, threshold):
    """The answer of one question: (text, n-best list, null odds). `features`: (start logits, end logits, offsets or None) of each window, the
    logits in fp32. Equal logits rank from the end of the window."""
    candidates, null = [], None
    for starts, ends, offsets in features:
        score = starts[0] + ends[0]
        if null is None or score < null["score"]:
            null = {"score": score, "start_logit": starts[0], "end_logit": ends[0], "where": (0, 0)}
        best = [np.argsort(logits, kind="stable")[::-1][:n_best_size] for logits in (starts, ends)]
        for s in best[0]:
            for e in best[1]:
                if offsets[s] is not None and offsets[e] is not None and s <= e < s + max_answer_length:
                    candidates.append({"score": starts[s] + ends[e], "start_logit": starts[s], "end_logit": ends[e],
                                       "where": (offsets[s][0], offsets[e][1])})
    if version_2_with_negative:
        candidates.append(null)
    n_best = sorted(candidates, key=lambda c: -c["score"])[:n_best_size]
    if version_2_with_negative and not any(c is null for c in n_best):
        n_best.append(null)
    n_best = [{**c, "text": context[slice(*c["where"])]} for c in n_best]
    if not n_best or (len(n_best) == 1 and n_best[0]["text"] == ""):
        n_best.insert(0, {"score": 0.0, "start_logit": 0.0, "end_logit": 0.0, "text": "empty"})
    scores = np.array([c["score"] for c in n_best])
    odds = np.exp(scores - scores.max())
    n_best = [{"start_logit": float(c["start_logit"]), "end_logit": float(c["end_logit"]), "text": c["text"], "probability": float(p)}
              for c, p in zip(n_best, odds / odds.sum())]
    if not version_2_with_negative:
        return n_best[0]["text"], n_best, None
    answer = next(c for c in n_best if c["text"] != "")
    null_odds = null["score"] - np.float32(answer["start_logit"]) - np.float32(answer["end_logit"])
    return "" if null_odds > threshold else answer["text"], n_best, float(null_odds)

"""Writes tests/golden/metrics_answers.f64: exact match and F1 of SQuAD 1.1 and 2.0 for random answers, as metrics_golden.py does.

usage: squad_golden.py    (needs transformers < 5, which has the SQuAD 2.0 script's functions)

The 1.1 script differs from that of 2.0 in F1 where nothing is left of an answer: it gives 0.
"""
import numpy as np
from metrics_golden import CASES, HERE, Random
from transformers.data.metrics.squad_metrics import compute_exact, compute_f1, get_tokens, normalize_answer

WORDS = ["the", "The", "a", "An", "cat", "Cat", "CATS", "l'été", "Straße", "ΟΔΟΣ", "İstanbul", "naïve", "東京", "1,000", "$5.00", "x_y", "...",
         "the-end", "a.", "“the”", "½", "a\u0301", "\U0001F600", "\u00ad", "Ⅷ", "’s", "an\u00a0", "U.S.", "\u1680", "ⓐ"]
SEPARATORS = [" ", "  ", ", ", "-", "\u00a0", "\t", "\u2009", "/", "\u3000", "\u200b"]


def text(r, longest):
    out = ""
    for _ in range(r.below(longest)):
        out += WORDS[r.below(len(WORDS))]
        out += SEPARATORS[r.below(len(SEPARATORS))]
    return out


def case(i):
    r = Random(i)
    prediction = text(r, 5)
    answers = []
    for _ in range(1 + r.below(3)):
        other = text(r, 4)
        answers.append(prediction + other if r.below(3) == 0 else other)
    f1_one = [compute_f1(a, prediction) if get_tokens(a) and get_tokens(prediction) else 0 for a in answers]
    answered = [a for a in answers if normalize_answer(a)] or [""]
    return [max(compute_exact(a, prediction) for a in answers), max(f1_one), max(compute_exact(a, prediction) for a in answered),
            max(compute_f1(a, prediction) for a in answered)]


if __name__ == "__main__":
    rows = np.array([case(i) for i in range(CASES)], dtype="<f8")
    (HERE / "metrics_answers.f64").write_bytes(rows.tobytes())
    print("answers", rows.shape, rows.mean(axis=0))

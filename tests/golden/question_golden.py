"""Writes the goldens of question answering, from Hugging Face's tokenizers (question_reference.py):

question_windows.json   random questions and contexts of many scripts: windows, labels, a hash of ids and context offsets
question_answers.json   random logits: the answers chosen, n-best lists, null odds
"""
import json
import pathlib
import random

import numpy as np
from question_reference import choose, windows
from tokenizer_reference import reference

HERE = pathlib.Path(__file__).resolve().parent
PIECES = ["the", "hello", "World", "unaffable", "running", "café", "cafe\u0301", "Ångström", "İstanbul", "Москва", "έλληνικά", "שָׁלוֹם", "العربية", "हिन्दी", "한국어",
          "東京日本", "中国", "かな", "😀", "👨\u200d👩\u200d👧", "👍🏽", "½", "ﬁn", "don't", "3.14%", "“the”", "—", "[MASK]", "a\u00adb", "\u200b", "\x01", "xyzzyq"]
SPACES = [" ", " ", " ", "  ", "\n", "\u00a0", "", "\u3000"]


def text(r, longest):
    return "".join(r.choice(SPACES) + r.choice(PIECES) for _ in range(r.randrange(longest)))


def hashed(numbers):
    value = 0
    for number in numbers:
        value = (value * 1000003 + number + 1) % 2**64
    return f"{value:016x}"


def answers_of(r, context):
    kind = r.randrange(10)
    if kind == 0 or not context:
        return []
    if kind == 1:  # does not stand there
        return [("made up", r.randrange(-3, len(context) + 5))]
    start = r.randrange(len(context))
    return [(context[start : start + r.randrange(1, 30)], start) for _ in range(r.randrange(1, 3))]


def window_case(tokenizer, seed):
    r = random.Random(seed)
    question, context = text(r, 8), text(r, r.choice([1, 10, 60, 120]))
    max_length, stride = r.choice([16, 24, 40, 64]), r.choice([0, 1, 4, 8])
    answers = answers_of(r, context)
    case = {"question": question, "context": context, "max_length": max_length, "stride": stride, "answers": answers}
    tokenizer.enable_truncation(max_length, stride=stride, strategy="only_second")
    try:
        found = list(windows(tokenizer, question, context, answers))
    except BaseException:  # the reference panics where the stride leaves nothing to go forward
        return {**case, "windows": None}
    return {**case, "windows": [[len(ids), first, *where, hashed([*ids, *(n for pair in offsets[first:] for n in pair)])]
                                for ids, first, offsets, where in found]}


def answer_case(seed):
    r, numbers = random.Random(seed), np.random.default_rng(seed)
    context = "".join(r.choice("aé東😀 ") for _ in range(60))
    kind = seed % 8
    features = []
    for _ in range(r.randrange(1, 4)):
        tokens, first = r.randrange(4, 40), r.randrange(2, 8)
        begins = sorted(r.randrange(len(context) - 4) for _ in range(max(0, tokens - 1 - first)))
        places = [None] * min(first, tokens - 1) + [None if kind == 1 else (begin, begin + 1 + r.randrange(4)) for begin in begins] + [None]
        logits = numbers.normal(size=(2, tokens)) * (30 if kind == 2 else 3)
        if kind == 3:
            logits = np.zeros((2, tokens))
        if kind == 4:
            logits = np.round(logits)
        if kind == 5:
            logits[:, 0] += 8
        features.append([*logits.astype(np.float32), places])
    options = {"n_best_size": r.choice([1, 2, 5, 20]), "max_answer_length": r.choice([1, 3, 30]), "version_2_with_negative": bool(r.randrange(2)),
               "threshold": r.choice([0.0, -2.0, 1.5])}
    chosen, n_best, null_odds = choose(context, features, **options)
    return {"context": context, **options, "chosen": chosen, "null_odds": null_odds,
            "n_best": [[c["start_logit"], c["end_logit"], c["text"], round(c["probability"], 9)] for c in n_best],
            "windows": [[*([float(str(x)) for x in logits] for logits in (starts, ends)), places] for starts, ends, places in features]}


def write(name, cases):
    body = ",\n".join(json.dumps(case, ensure_ascii=False, separators=(",", ":")) for case in cases)
    (HERE / name).write_text("[\n" + body + "\n]\n", encoding="utf-8")
    print(name, len(cases))


if __name__ == "__main__":
    small = reference(str(HERE / "tokenizer_vocab.txt"), True, None, True)
    cases = [window_case(small, seed) for seed in range(300)]
    print(sum(case["windows"] is None for case in cases), "impossible,", sum(len(case["windows"] or []) for case in cases), "windows,",
          sum(w[2] > 0 for case in cases for w in case["windows"] or []), "with an answer")
    write("question_windows.json", cases)
    write("question_answers.json", [answer_case(seed) for seed in range(120)])

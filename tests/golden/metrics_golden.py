"""Writes the expected values of tests/trainer/metrics: tests/golden/metrics_*.f64, little-endian doubles, a row of values a case.

usage: metrics_golden.py    (needs numpy, scikit-learn, scipy, seqeval)

Inputs are not stored: case i is made by the generator Random(i), which metrics_test.cc has too, draw by draw.
"""
import warnings
from pathlib import Path

import numpy as np
from scipy import stats
from seqeval import metrics as seq
from seqeval.scheme import IOB1, IOB2, IOBES
from sklearn import metrics as sk

CASES = 1000
NAN = float("nan")
HERE = Path(__file__).parent
warnings.filterwarnings("ignore")


class Random:
    """splitmix64 (Steele, Lea, Flood 2014)."""

    MASK = 2**64 - 1

    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & self.MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & self.MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & self.MASK
        return z ^ (z >> 31)

    def below(self, n):
        return self.next() % n

    def unit(self):
        return (self.next() >> 11) * 2.0**-53


def triple(actual, predicted, **options):
    return list(sk.precision_recall_fscore_support(actual, predicted, zero_division=0, **options)[:3])


def auc(function):
    try:
        return function()
    except ValueError:
        return NAN


def classification(i):
    r = Random(i)
    n, k, kind, fixed = 1 + r.below(60), 2 if i % 2 == 0 else 2 + r.below(5), r.below(8), 0
    fixed = r.below(k)
    labels, predictions, weights = [], [], []
    for _ in range(n):
        label = fixed if kind == 0 else r.below(k)
        prediction = r.below(k) if r.below(2) else label
        labels.append(label)
        predictions.append(fixed if kind == 1 else label if kind == 2 else prediction)
        weights.append([1 + r.below(8) for _ in range(k)])
    scores = np.array([[w / sum(row) for w in row] for row in weights])
    if k == 2:
        binary = triple(labels, predictions, average="binary")
        area = auc(lambda: sk.roc_auc_score(labels, scores[:, 1]))
    else:
        binary = [NAN] * 3
        complete = len(set(labels)) == k
        area = auc(lambda: sk.roc_auc_score(labels, scores, multi_class="ovr", labels=range(k))) if complete else NAN
    macro = triple(labels, predictions, average="macro")
    micro = triple(labels, predictions, average="micro")
    return [sk.accuracy_score(labels, predictions), *binary, *macro, micro[2], sk.matthews_corrcoef(labels, predictions), area]


def regression(i):
    r = Random(i)
    n, kind = 2 + r.below(40), r.below(6)
    x, y = [], []
    for _ in range(n):
        a, b = (float(r.below(5)), float(r.below(5))) if kind <= 1 else (r.unit(), r.unit())
        x.append(2.5 if kind == 2 else a)
        y.append(a * 3 if kind == 3 else a + b if kind == 4 else 100 + b)
    return [stats.pearsonr(x, y)[0], stats.spearmanr(x, y)[0], sk.mean_squared_error(x, y)]


def multi_label(i):
    r = Random(i)
    n, k, kind = 1 + r.below(30), 2 + r.below(5), r.below(6)
    actual = np.zeros((n, k), dtype=int)
    predicted = np.zeros((n, k), dtype=int)
    for row in range(n):
        for column in range(k):
            label = 0 if kind == 0 else int(r.below(3) == 0)
            prediction = r.below(2) if r.below(3) == 0 else label
            actual[row, column] = label
            predicted[row, column] = 0 if kind == 1 else label if kind == 2 else prediction
    micro = triple(actual, predicted, average="micro")
    macro = triple(actual, predicted, average="macro")
    # Scores with ties; labels that all samples have, or none, leave no curve.
    scores = np.array([[(r.below(8) + 2 * label) / 9 for label in row] for row in actual])
    areas = [auc(lambda: sk.roc_auc_score(actual, scores, average=average)) for average in ("micro", "macro")]
    return [*micro, *macro, sk.accuracy_score(actual, predicted), *areas]


def entity_scores(actual, predicted, **options):
    return [f(actual, predicted, **options) for f in (seq.precision_score, seq.recall_score, seq.f1_score)]


def strict(actual, predicted, scheme):
    return entity_scores(actual, predicted, mode="strict", scheme=scheme)


def entities(i):
    r = Random(i)
    types = ["LOC", "ORG", "PER"]
    prefixes = "BIO" if i % 2 == 0 else "BIESO"

    def tag():
        prefix = prefixes[r.below(len(prefixes))]
        kind = types[r.below(3)]
        return "O" if prefix == "O" else prefix + "-" + kind

    actual, predicted = [], []
    for _ in range(1 + r.below(4)):
        actual.append([])
        predicted.append([])
        for _ in range(1 + r.below(12)):
            label = tag()
            other = tag()
            actual[-1].append(label)
            predicted[-1].append(other if r.below(10) < 3 else label)
    report = seq.classification_report(actual, predicted, output_dict=True)
    by_type = [report[t]["f1-score"] if t in report else NAN for t in types]
    lenient = entity_scores(actual, predicted)
    if i % 2 == 0:
        first, second = strict(actual, predicted, IOB2), strict(actual, predicted, IOB1)
    else:
        first, second = strict(actual, predicted, IOBES), [NAN] * 3
    return [*lenient, seq.accuracy_score(actual, predicted), *by_type, *first, *second]


def main():
    for make in (classification, regression, multi_label, entities):
        rows = np.array([make(i) for i in range(CASES)], dtype="<f8")
        (HERE / f"metrics_{make.__name__}.f64").write_bytes(rows.tobytes())
        print(make.__name__, rows.shape)


if __name__ == "__main__":
    main()

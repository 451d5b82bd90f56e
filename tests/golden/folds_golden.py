"""Writes folds.json: how many rows of each class scikit-learn's StratifiedKFold puts into each fold.

    python folds_golden.py > folds.json        (scikit-learn 1.9.1)
"""
import json
import warnings

import numpy
from sklearn.model_selection import StratifiedKFold

CASES = [(2, [3, 5]), (5, [80, 20]), (5, [4825, 747]), (3, [7, 20, 300]), (10, [33, 33, 34]), (4, [1, 9]), (5, [2, 40, 3]),
         (7, [12, 1, 5, 90, 2, 33, 1000, 4]), (10, [17]), (17, [17]), (255, [300, 4000])]

warnings.simplefilter("ignore")  # classes with fewer rows than folds
cases = []
for folds, counts in CASES:
    labels = numpy.repeat(numpy.arange(len(counts)), counts)
    splits = StratifiedKFold(folds, shuffle=True, random_state=0).split(labels, labels)
    rows = [numpy.bincount(labels[test], minlength=len(counts)).tolist() for _, test in splits]
    cases.append({"folds": folds, "counts": counts, "rows": rows})
print(json.dumps(cases))

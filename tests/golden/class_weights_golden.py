"""Writes class_weights.json: scikit-learn's balanced class weights of made-up labels.

    python class_weights_golden.py > class_weights.json        (scikit-learn 1.9.1)
"""
import json

import numpy
from sklearn.utils.class_weight import compute_class_weight

COUNTS = [[1, 1], [3, 5], [4825, 747], [1, 999999], [7, 20, 300], [12, 1, 5, 90, 2, 33, 1000, 4], [17]]

cases = []
for counts in COUNTS:
    labels = numpy.repeat(numpy.arange(len(counts)), counts)
    cases.append({"counts": counts, "weights": compute_class_weight("balanced", classes=numpy.unique(labels), y=labels).tolist()})
print(json.dumps(cases))

"""The quality figures are those of scikit-learn, which a job does without."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

from batch.report import measure_quality

LABELS = ["a", "b", "c", "never found"]


@pytest.mark.parametrize("seed", range(20))
def test_the_figures_are_those_of_scikit_learn(seed: int) -> None:
    draw = np.random.default_rng(seed)
    pairs = [(str(draw.choice(LABELS)), str(draw.choice(LABELS[:-1]))) for _ in range(int(draw.integers(1, 9)))]
    confusion = {pair: int(draw.integers(1, 50)) for pair in pairs}
    truth, found = zip(*confusion, strict=True)
    rows = list(confusion.values())
    labels = sorted({*truth, *found})
    mine = measure_quality(confusion)
    assert (mine["rows"], mine["labels"]) == (sum(rows), labels)
    assert mine["accuracy"] == pytest.approx(accuracy_score(truth, found, sample_weight=rows))
    assert mine["confusion"] == confusion_matrix(truth, found, labels=labels, sample_weight=rows).tolist()
    theirs = precision_recall_fscore_support(truth, found, labels=labels, sample_weight=rows, zero_division=0.0)
    for name, figures in zip(("precision", "recall", "f1", "rows"), theirs, strict=True):
        assert [mine["classes"][label][name] for label in labels] == pytest.approx(list(figures)), name

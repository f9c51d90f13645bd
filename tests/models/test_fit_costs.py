"""The fit of a host's costs is scipy's non-negative least squares, which nobody who predicts has to install."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import nnls

from models.costs import fit_non_negative


@pytest.mark.parametrize("seed", range(30))
def test_the_fit_is_that_of_scipy(seed: int) -> None:
    draw = np.random.default_rng(seed)
    # Columns of very different sizes, as rows, lengths and their squares are; some want a coefficient below 0.
    terms = draw.normal(0.3, 1.0, size=(int(draw.integers(4, 30)), 4)) * np.array([1.0, 30.0, 3e3, 3e5])
    expected, residual = nnls(terms, np.ones(len(terms)))
    found = fit_non_negative(terms)
    assert (found >= 0).all()
    assert np.linalg.norm(terms @ found - 1) == pytest.approx(residual, rel=1e-9)
    assert terms @ found == pytest.approx(terms @ expected, abs=1e-6)


def test_columns_that_say_nothing_are_left_out() -> None:
    terms = np.stack([np.full(5, 2.0), np.zeros(5), np.full(5, -1.0)], axis=1)
    assert fit_non_negative(terms).tolist() == pytest.approx([0.5, 0.0, 0.0])

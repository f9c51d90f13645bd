"""Costs: what is measured is believed near by, and kept for the next time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from models.costs import Costs, fit_prior
from models.host import measurements, recall, remember
from models.load import load_model
from models.measure_costs import keep_costs, load_costs, measure_costs, read_costs, write_costs

PRIOR = (1e-3, 1e-4, 1e-5, 1e-8)


def test_a_shape_costs_what_it_took() -> None:
    costs = Costs(PRIOR)
    for _ in range(10):
        costs.observe(8, 64, 0.5)
    assert float(costs.seconds(8, 64)) == pytest.approx(0.5, rel=0.01)


def test_one_measurement_tells_that_the_whole_host_is_slower() -> None:
    costs = Costs(PRIOR)
    costs.observe(8, 64, 3 * float(costs.formula(np.asarray(8), np.asarray(64))))
    far = float(costs.seconds(256, 1024)) / float(costs.formula(np.asarray(256), np.asarray(1024)))
    assert far == pytest.approx(3, rel=0.01)


def test_a_measurement_counts_more_the_nearer_it_is() -> None:
    costs = Costs(PRIOR)
    for _ in range(10):
        costs.observe(8, 64, 2 * float(costs.formula(np.asarray(8), np.asarray(64))))
        costs.observe(64, 64, 1 * float(costs.formula(np.asarray(64), np.asarray(64))))
    rows = np.asarray([8, 16, 32, 64])
    ratios = (costs.seconds(rows, 64) / costs.formula(rows, np.asarray(64))).tolist()
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[0] > 1.9
    assert ratios[-1] < 1.1


def test_a_host_that_becomes_slower_is_noticed() -> None:
    costs = Costs(PRIOR)
    for _ in range(500):
        costs.observe(4, 32, 1e-3)
    for _ in range(100):
        costs.observe(4, 32, 2e-3)
    assert float(costs.seconds(4, 32)) > 1.9e-3


def test_a_shape_never_tried_is_planned_for_a_little_faster_and_predicted_as_it_is() -> None:
    costs = Costs(PRIOR)
    for _ in range(10):
        costs.observe(8, 64, 0.5)
    lengths = np.asarray([64])
    planned, predicted = costs.planning(64, lengths)[0], costs.seconds(np.arange(1, 65), 64)
    assert planned[7] == pytest.approx(float(predicted[7]), rel=0.005)
    assert 0.95 < planned[63] / predicted[63] < 0.99


def test_the_formula_is_found_again() -> None:
    rows, lengths = (array.ravel().astype(float) for array in np.meshgrid([1, 2, 4, 8, 16], [8, 32, 128, 256]))
    seconds = Costs(PRIOR).formula(rows, lengths)
    assert fit_prior(rows, lengths, seconds) == pytest.approx(PRIOR, rel=1e-3)


def test_costs_survive_a_file() -> None:
    costs = Costs(PRIOR, flops=(0, 10, 1))
    costs.observe(8, 64, 0.5)
    again = Costs.from_json(json.loads(json.dumps(costs.to_json())))
    assert again.flops == (0, 10, 1)
    assert float(again.seconds(5, 40)) == pytest.approx(float(costs.seconds(5, 40)), rel=1e-4)


@pytest.mark.parametrize(
    "content", [{"prior": [1, 2]}, {"prior": [-1, 0, 0, 0]}, {}, {"prior": PRIOR, "shapes": [[1, 1, -1, 1, 1]]}]
)
def test_a_damaged_file_is_no_costs(content: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises((ValueError, KeyError)):
        Costs.from_json(content)
    (tmp_path / "costs.json").write_text(json.dumps(content))
    assert read_costs(tmp_path).prior == Costs().prior


def test_what_a_job_learns_is_there_for_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TANDEM_MEASURED", str(tmp_path))
    model = load_model("bbc-bert", threads=1)
    before = model.costs.calls
    model.predict_values(["The striker scored twice.", "Shares fell in early trading."])
    keep_costs(model)
    assert load_model("bbc-bert", threads=1).costs.calls > before
    assert load_model("bbc-bert", threads=2).costs.calls == before  # another number of threads is another thing to know


def test_what_cannot_be_kept_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("TANDEM_MEASURED", str(tmp_path / "file"))
    remember("costs", "key", {})
    assert recall("costs", "key") is None


def test_a_damaged_cache_counts_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TANDEM_MEASURED", str(tmp_path))
    write_costs(tmp_path / "variant", Costs(PRIOR))
    path = measurements("costs", "key")
    path.parent.mkdir(parents=True)
    for content in ("{", "[]", '{"prior": 3}'):
        path.write_text(content)
        assert load_costs(tmp_path / "variant", "key").prior == PRIOR


@pytest.mark.parametrize("name", ["bbc-bert", "fashion-resnet", "vowels-bilstm"])
def test_every_family_can_be_measured(name: str) -> None:
    costs = measure_costs(load_model(name, threads=1), seconds=0.2)
    assert costs.calls >= 12
    assert sum(costs.prior) > 0
    assert float(costs.seconds(8, 16)) > float(costs.seconds(1, 1)) > 0

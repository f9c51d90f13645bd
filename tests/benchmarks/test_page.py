"""The page: assembled from the sections' JSON, every target judged."""

from pathlib import Path

import pytest

from benchmarks import results_file
from benchmarks.measure import Taken
from benchmarks.page import judge, judge_found, section, side_line, table, targets_of
from benchmarks.planner import planning
from benchmarks.results_file import Comparison, Found, Result, Target, load, save


def side(name: str, seconds: list[float], load_s: float = 0.0) -> Taken:
    return Taken(name=name, seconds=seconds, load_s=[load_s] * len(seconds), peak_mb=10.0)


def comparison(*sides: Taken, at_least: float = 3.0) -> Comparison:
    target = Target(measure="speed", ours="Tandem", theirs=("slow", "slower"), at_least=at_least, aim=9.0)
    rows = {"rows": 100, "about": "rows", "digest": "abc"}
    return Comparison(title="", rows=rows, sides=list(sides), targets=(target,))


def result(*comparisons: Comparison) -> Result:
    host = {"cpu": "a cpu", "cores": 2, "memory_gib": 1, "instructions": [], "python": "3.11", "load_before": 0.1}
    return Result(section="text", title="Texts", rounds=3, quick=False, comparisons=list(comparisons), host=host)


def test_a_target_is_judged_against_the_best_of_its_sides_with_their_load() -> None:
    found = comparison(side("slow", [8.0] * 3, 1.0), side("slower", [20.0] * 3), side("Tandem", [3.0] * 3))
    measure, bound, said, judged = judge(found, found.targets[0])
    assert (measure, bound, judged) == ("speed", "3x, aim 9x", "reached")
    assert said == "3.00x (3.00 to 3.00), loaded 2.67x, against slow"


def test_a_target_that_is_missed_is_not_called_reached() -> None:
    found = comparison(side("slow", [8.0] * 3), side("slower", [20.0] * 3), side("Tandem", [3.0] * 3))
    assert judge(found, found.targets[0])[3] == "**not reached**"


def test_a_side_that_did_not_run_is_named_with_its_reason_and_judges_nothing() -> None:
    gone = Taken(name="slow", failed="pip said no")
    ours = side("Tandem", [3.0] * 3)
    assert judge(comparison(gone, ours), comparison(gone, ours).targets[0])[3] == "not measured"
    assert side_line(gone, [ours], 100)[:2] == ["slow", "did not run: pip said no"]


def test_a_bound_from_above_is_reached_from_below() -> None:
    share = Found(measure="start", value=0.2, bound=0.3, at_most=True)
    assert judge_found(share) == ["start", "at most 0.3", "0.2", "reached"]
    assert not Found(measure="start", value=0.4, bound=0.3, at_most=True).reached
    assert not Found(measure="gain", value=0.94, bound=0.95).reached


def test_a_section_is_the_same_after_a_way_through_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results_file, "RESULTS", tmp_path)
    before = result(comparison(side("slow", [8.0] * 3), side("Tandem", [3.0] * 3)))
    before.found.append(Found(measure="gain", value=1.0, bound=0.95))
    assert load(save(before)) == before
    assert section(load(tmp_path / "text.json")) == section(before)
    assert "`python -m benchmarks.run text --rounds 3`" in section(before)


def test_a_quick_run_leaves_the_full_numbers_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results_file, "RESULTS", tmp_path)
    quick = result()
    quick.quick = True
    assert save(quick).name == "text.quick.json"
    assert "--quick" in quick.command


def test_a_cell_does_not_break_its_table() -> None:
    assert table(["a"], [["x | y"]]).splitlines()[-1] == "| x \\| y |"


def planned(name: str, shares: list[float]) -> Taken:
    found = side(name, [1.0] * len(shares))
    found.facts = [{"run": {"plan_s": share * 4, "forward_s": 4.0}} for share in shares]
    return found


def test_planning_is_judged_by_the_side_of_a_section_where_it_takes_the_most() -> None:
    found = result(comparison(planned("Tandem", [0.5, 0.02, 0.004])), comparison(planned("Tandem, int8", [0.001] * 3)))
    share = planning(found)
    assert share is not None
    assert (share.value, share.reached) == (0.02, False)
    assert targets_of(found)[-1] == [share.measure, "at most 0.01", "0.02", "**not reached**"]
    assert share.measure.endswith("most in Tandem")


def test_where_the_model_takes_next_to_nothing_no_planning_is_judged() -> None:
    idle = side("Tandem", [1.0])
    idle.facts = [{"run": {"plan_s": 0.1, "forward_s": 0.0}}, {"run": {"plan_s": 0.1, "forward_s": 0.01}}, {}]
    assert planning(result(comparison(idle))) is None

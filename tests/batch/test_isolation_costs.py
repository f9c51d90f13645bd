"""What isolation costs: calls, answers kept, error rows, time."""

from __future__ import annotations

import errno
import math
import tempfile
from pathlib import Path

import pytest

from batch.errors import StoreUnavailable
from tests.batch.command import assert_refused
from tests.batch.hurting_jobs import assert_ended_well, assert_isolated, command, finished, put_rows, run
from tests.batch.places import Folder, part_keys

pytestmark = pytest.mark.usefixtures("calls")


@pytest.mark.parametrize("hurting", [{300: "segfaults"}, {100: "segfaults", 101: "segfaults"}])
def test_poison_costs_few_calls(folder: Folder, calls: Path, hurting: dict[int, str]) -> None:
    """Those that were lost with their processes are among them."""
    put_rows(folder, 512, {})
    more = {"model": "ManyAtOnce", "window_rows": 512}
    run(folder, output=folder.url + "clean/", **more)
    clean = len(calls.read_text().splitlines())
    calls.unlink()
    put_rows(folder, 512, hurting)
    run(folder, **more)
    assert_isolated(folder, 512, hurting)
    extra = len(calls.read_text().splitlines()) - clean
    assert 0 < extra <= 4 * math.log2(512) * len(hurting)


def test_answers_outlive_the_deaths_that_come_after_them(folder: Folder, calls: Path) -> None:
    """Only the first death over a shard costs its earlier answers; from then on they are kept."""
    hurting = dict.fromkeys((4_500, 5_000, 5_500), "segfaults")
    put_rows(folder, 6_000, hurting)
    manifest = run(folder, window_rows=128)
    assert_isolated(folder, 6_000, hurting)
    answered = [int(number) for line in calls.read_text().splitlines() for number in line.split()[1:]]
    early = [number for number in answered if number < 4_000]
    assert len(early) == 2 * 4_000
    assert manifest["run"]["rows"] == 6_000
    assert manifest["run"]["micro_batches"] >= 6_000 / 64, "those of the windows that were kept are counted"


def test_a_disk_too_full_to_keep_answers_is_named_and_no_worker_is_blamed(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_rows(folder, 200, {77: "segfaults"})

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(StoreUnavailable, match=r"answers in .*: No space left on device; .* TMPDIR"):
        run(folder)


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(("most", "code"), [("2", 4), ("3", 0)])
def test_a_job_stops_above_so_many_error_rows(folder: Folder, most: str, code: int, workers: str) -> None:
    put_rows(folder, 40, dict.fromkeys((5, 15, 25), "raises"), files=4)
    end = finished(*command(folder, "--max-errors", most, "--workers", workers))
    assert end.code == code, end.err
    if code:
        assert "3 of " in end.complaint
        assert "more than --max-errors 2 allows" in end.complaint
        assert "out/_SUCCESS" not in folder.etags()


@pytest.mark.parametrize(
    ("model", "deed", "minutes"),
    [("HurtingModel", "segfaults", "3"), ("HurtingModel", "hangs", "3"), ("HurtingEncoder", "hangs", "1")],
)
def test_a_row_that_hurts_in_the_estimates_sample_is_isolated_too(
    folder: Folder, model: str, deed: str, minutes: str
) -> None:
    """A limit of more than two minutes sends the sample through the model; a shorter one encodes it only."""
    put_rows(folder, 200, {77: deed})
    end = finished(*command(folder, "--max-minutes", minutes, model=model))
    assert_ended_well(end, 200, 1)
    assert_isolated(folder, 200, {77: deed})


@pytest.mark.parametrize("deed", ["segfaults", "hangs"])
def test_a_plan_says_that_a_row_of_its_sample_ended_it(folder: Folder, deed: str) -> None:
    put_rows(folder, 200, {77: deed})
    end = finished("plan", *command(folder)[1:])
    ending = {"segfaults": "ended with signal SIGSEGV", "hangs": "gave no answer within 3 s"}[deed]
    assert_refused(end, 75, f"its process {ending}", "tandem run isolates such rows", "--no-measure")
    assert finished("plan", *command(folder, "--no-measure")[1:]).code == 0


def test_a_death_gives_a_run_no_more_time(folder: Folder) -> None:
    """The first process spends all of it: the one that goes on does the shard of the row at fault, and no other."""
    put_rows(folder, 40, {3: "hangs once"}, files=4)
    end = finished(*command(folder, "--stall-s", "10", "--max-minutes", "0.15", "--shard-mb", "0.0001"))
    assert end.code == 75, end.err
    assert "--max-minutes 0.15: 0 s are left" in end.complaint
    assert "first=begun in any case, as the row that ended a process would never be found" in end.err
    assert len(part_keys(folder)) == 1


def test_a_death_does_not_begin_the_output_anew_again(folder: Folder) -> None:
    put_rows(folder, 40, {3: "segfaults"})
    for times in (1, 2):
        end = finished(*command(folder, "--table", "delta", "--replace"))
        assert_ended_well(end, 40, 1)
        assert len({key.split("/")[1] for key in folder.etags("out/") if key.startswith("out/job-")}) == times

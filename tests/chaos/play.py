"""Play one case: start real runs, strike them, let the last one finish, and look at what is there."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.batch.command import Ended
from tests.batch.places import Bucket, read_json
from tests.chaos.cases import Case, Round
from tests.chaos.check import assert_complete, assert_unread, computed_twice, finished_objects, phase
from tests.chaos.job import command, put_input
from tests.chaos.processes import Run, send
from tests.chaos.slow_words import NOTES
from tests.fault_proxy import FaultProxy, RandomFaults

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: How a run may end that was not struck. With a faulty store too: that is what trying again is for.
UNTOUCHED = (0,)
#: SIGTERM ends a command that has not yet begun to listen; 75 is the promise of every other one.
STRUCK = (0, 75, -signal.SIGKILL, -signal.SIGTERM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The job without any trouble: its digest, and how many requests it makes."""

    digest: str
    requests: int


@dataclass(slots=True, kw_only=True)
class Played:
    """What was done and seen in a case."""

    runs: int = 0
    blows: list[str] = field(default_factory=list)
    faults: int = 0
    computed_twice: int = 0
    seconds: float = 0.0


class Stage:
    """One case's bucket, proxy, notes, and the runs that were started."""

    def __init__(self, place: Bucket, proxy: FaultProxy, folder: Path) -> None:
        self.place, self.proxy, self.folder = place, proxy, folder
        self.notes = folder / "notes"
        self.runs: list[Run] = []
        self.ends: list[Ended] = []
        (folder / "tmp").mkdir()

    def start(self, *, workers: int) -> Run:
        settings = {"AWS_ENDPOINT_URL": self.proxy.url, NOTES: str(self.notes), "TMPDIR": str(self.folder / "tmp")}
        self.runs.append(Run(command(self.place, workers=workers), **settings))
        return self.runs[-1]

    def end(self, run: Run) -> int:
        """Wait for a run; its exit code is one of those it may have, it shows no traceback, and 0 is for good."""
        ended = run.end()
        allowed = STRUCK if run.hit else UNTOUCHED
        assert ended.code in allowed, f"exit code {ended.code} after {run.hit or 'nothing'}:\n{ended.err[-3000:]}"
        assert "Traceback" not in ended.err, ended.err[-3000:]
        self.ends.append(ended)
        if any(one.code == 0 for one in self.ends):
            assert "out/_SUCCESS" in self.place.etags("out/_S"), "a run ended with 0, and _SUCCESS is not there"
        return ended.code


@contextmanager
def staged(client: S3Client, upstream: str, name: str, folder: Path) -> Iterator[Stage]:
    """A fresh bucket that holds the input; whatever was started has ended afterwards."""
    client.create_bucket(Bucket=name)
    place = Bucket(name, client)
    put_input(place)
    with FaultProxy(upstream) as proxy:
        stage = Stage(place, proxy, folder)
        try:
            yield stage
        finally:
            for run in stage.runs:
                run.destroy()


def measure(client: S3Client, upstream: str, folder: Path) -> Reference:
    """Run the job without trouble."""
    with staged(client, upstream, "chaos-reference", folder) as stage:
        stage.end(stage.start(workers=1))
        digest = read_json(stage.place, "out/_tandem/manifest.json")["digest"]
        assert_complete(stage.place, digest)
        return Reference(digest=digest, requests=len(stage.proxy.seen))


def play(case: Case, reference: Reference, client: S3Client, upstream: str, folder: Path) -> Played:
    """Play a case.

    Raises:
        AssertionError: something was lost, doubled, read or computed for nothing, or said in the wrong way.
    """
    began, played = time.monotonic(), Played()
    with staged(client, upstream, f"chaos-{case.seed}", folder) as stage:
        faults = RandomFaults(seed=case.seed, rate=case.fault_rate)
        stage.proxy.add(faults)
        for number, one in enumerate(case.rounds):
            play_round(stage, one, reference, played, alone=number > 0)
        finish(stage, played)
        # Python's own, empty, of shared memory.
        left = [path.name for path in (folder / "tmp").iterdir() if not path.name.startswith("pymp-")]
        assert left == [], f"left on the disk: {left}"
        assert_complete(stage.place, reference.digest)
        twice = computed_twice(stage.place, stage.notes)
        # Who races computes the same: runs at once, and workers that go on beside the run that comes after theirs.
        raced = any(one.runs > 1 or one.blow == "pause the command" for one in case.rounds)
        if not raced and not case.fault_rate:
            in_flight = sum(one.workers for one in case.rounds)
            assert len(twice) <= in_flight, f"{len(twice)} shards were computed twice, {in_flight} in flight"
        played.faults, played.computed_twice = faults.made, len(twice)
        played.runs, played.seconds = len(stage.runs), time.monotonic() - began
    return played


def play_round(stage: Stage, one: Round, reference: Reference, played: Played, *, alone: bool) -> None:
    """Start the runs, let the blow fall on one of them, and wait until all that can end have ended.

    A run that stands still is continued only after everybody else has finished the job.
    """
    finished, seen = finished_objects(stage.place), len(stage.proxy.seen)
    runs = [stage.start(workers=one.workers) for _ in range(one.runs)]
    struck = runs[int(one.choice * len(runs))]
    requests = reference.requests * (1 + 0.4 * (one.runs - 1))  # runs at once share the shards
    wait_for_requests(stage.proxy, seen + int(one.at * requests), runs)
    time.sleep(one.delay_s)
    paused = struck.strike(one.blow, one.choice * len(runs) % 1)
    if struck.hit:
        played.blows.append(f"{one.blow} at {phase(stage.proxy.seen)}")
    for run in runs:
        if not (paused and run is struck):
            stage.end(run)
    if paused:
        stage.end(stage.start(workers=1))
        for process in paused:
            send(process, signal.SIGCONT)
        stage.end(struck)
    if alone:
        assert_unread(stage.place, finished, stage.proxy.seen[seen:])


def wait_for_requests(proxy: FaultProxy, count: int, runs: list[Run], *, within_s: float = 60.0) -> None:
    """Until the store has answered so many requests, or every run has ended."""
    deadline = time.monotonic() + within_s
    while len(proxy.seen) < count and time.monotonic() < deadline:
        if all(run.process.poll() is not None for run in runs):
            return
        time.sleep(0.002)


def finish(stage: Stage, played: Played) -> None:
    """Run the job once more; it ends with 0, and reads nothing of which it has the answers."""
    finished, seen = finished_objects(stage.place), len(stage.proxy.seen)
    assert stage.end(stage.start(workers=1)) == 0
    assert_unread(stage.place, finished, stage.proxy.seen[seen:])

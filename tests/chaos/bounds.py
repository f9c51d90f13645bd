"""`python -m tests.chaos.bounds [plan] [resume] [give-up]`: what is promised in seconds, measured; by default all.

Prints a line for each; the exit code is 1 where a bound does not hold. A busy machine makes everything slower.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

from tests.batch.command import tandem
from tests.batch.places import WORD_COUNT, Bucket, Folder, Place, part_keys, put_table, read_output, texts
from tests.batch.test_many_objects import FILES, MIB, large_file, link_files, plan_command
from tests.chaos.server import serving
from tests.fault_proxy import FaultProxy, FromThenOn

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PARTS = 1_000
#: Resuming a finished job of 1,000 parts; from the first failing request to exit code 75.
RESUME_S, GIVE_UP_S = 3.0, 180.0

Line = tuple[str, float, float | None, str]


def words(place: Place, *more: str) -> tuple[str, ...]:
    places = ("--input", place.url + "in/", "--output", place.url + "out/")
    return ("run", "--model", WORD_COUNT, *places, *more)


def cpu_s() -> float:
    """What the processes that were waited for have computed."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def plan_many(folder: Path) -> Iterator[Line]:
    """Ten thousand objects in a folder, and a file of ten gigabytes."""
    link_files(folder / "many", FILES)
    (folder / "large").mkdir()
    large_file(folder / "large/a.parquet", row_groups=10_000)
    for what, source in {"10,000 objects in a folder": "many/a", "one object of 10.5 GB": "large"}.items():
        began, computed = time.monotonic(), cpu_s()
        held, _ = plan_command(folder / source, folder / "out")
        more = f"{cpu_s() - computed:.1f} s of CPU, {held / MIB:.0f} MiB at most"
        yield f"plan: {what}", time.monotonic() - began, None, more


def run_many(folder: Path) -> Line:
    """Ten thousand objects in a folder, to the manifest, each of 200,000 rows once: 24 and 31 s on two busy cores."""
    places = ("--input", f"{folder / 'many/a'}/", "--output", f"{folder / 'all'}/")
    began, computed = time.monotonic(), cpu_s()
    end = tandem("run", "--model", WORD_COUNT, *places, within_s=600)
    took, more = time.monotonic() - began, f"{cpu_s() - computed:.1f} s of CPU"
    assert end.code == 0, end.err
    manifest = json.loads((folder / "all/_tandem/manifest.json").read_text())
    assert (manifest["input_objects"], manifest["error_rows"]) == (FILES, 0)
    rows = read_output(Folder(folder), "all/").select(["_source", "_row"]).to_pylist()
    assert len(rows) == len({(row["_source"], row["_row"]) for row in rows}) == 20 * FILES
    return "run: 10,000 objects in a folder, to the manifest", took, None, more


def plan_bucket(client: S3Client, url: str) -> Iterator[Line]:
    """Ten thousand objects in a bucket."""
    client.create_bucket(Bucket="many")
    place = Bucket("many", client)
    put_table(place, "in/000000.parquet", texts(20))
    body = place.get("in/000000.parquet")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: place.put(f"in/{number:06}.parquet", body), range(1, FILES)))
    began, computed = time.monotonic(), cpu_s()
    end = tandem("plan", *words(place)[1:], within_s=600, AWS_ENDPOINT_URL=url)
    assert "10,000 files, 200,000 rows" in end.out, end.err
    more = f"{cpu_s() - computed:.1f} s of CPU"
    yield "plan: 10,000 objects in a bucket", time.monotonic() - began, None, more


def resume(place: Place, url: str, where: str) -> Iterator[Line]:
    """A finished job of 1,000 parts once more: its time by the clock, and what it asks of the input."""
    for number in range(10):
        put_table(place, f"in/{number}.parquet", texts(10 * PARTS // 10, first=1000 * number), row_group_size=10)
    end = tandem(*words(place, "--shard-mb", "0.00001"), within_s=600, AWS_ENDPOINT_URL=url)
    assert end.code == 0, end.err
    assert len(part_keys(place)) == PARTS
    took = []
    for _ in range(3):
        began, computed = time.monotonic(), cpu_s()
        end = tandem(*words(place, "--shard-mb", "0.00001"), AWS_ENDPOINT_URL=url)
        took.append((time.monotonic() - began, cpu_s() - computed))
        assert "nothing was left to do" in end.out, end.err
    asked = ""
    if isinstance(place, Bucket):
        with FaultProxy(url) as proxy:
            end = tandem(*words(place, "--shard-mb", "0.00001"), AWS_ENDPOINT_URL=proxy.url)
            asked = f"; {len(proxy.seen)} requests, {len(proxy.requests('GET', '/in/'))} GETs of inputs"
            assert not proxy.requests("GET", "/in/[0-9]")
    seconds, computed = sorted(took)[1]
    yield f"resume: a finished job of {PARTS:,} parts, {where}", seconds, RESUME_S, f"{computed:.1f} s of CPU{asked}"


def give_up(client: S3Client, url: str, fault: Any, after: str) -> Line:
    """Every request fails from one moment on: how long until the command ends with 75."""
    name = f"give-up-{fault}-{len(after)}".replace("_", "-")
    client.create_bucket(Bucket=name)
    place = Bucket(name, client)
    for number in range(4):
        put_table(place, f"in/{number}.parquet", texts(10))
    with FaultProxy(url) as proxy:
        rule = FromThenOn(fault=fault, path=after)
        proxy.add(rule)
        failing_since: list[float] = []
        with ThreadPoolExecutor(1) as pool:
            command = words(place, "--shard-mb", "0.00001")
            running = pool.submit(tandem, *command, within_s=900, AWS_ENDPOINT_URL=proxy.url)
            while not running.done():
                if rule.matched and not failing_since:
                    failing_since.append(time.monotonic())
                time.sleep(0.02)
            end = running.result()
    took = time.monotonic() - failing_since[0]
    assert end.code == 75, end.err
    assert end.complaint.endswith("run the same command again."), end.complaint
    return f"give up: every request {fault!r} from {after!r} on", took, GIVE_UP_S, end.complaint[:90]


def main(asked: Sequence[str]) -> int:
    kept = True
    with tempfile.TemporaryDirectory(prefix="tandem-bounds-") as name, serving(Path(name)) as url:
        folder, client = Path(name), boto3.client("s3", endpoint_url=url)
        client.create_bucket(Bucket="resume")
        (folder / "resume").mkdir()

        def lines() -> Iterator[Line]:
            if "plan" in asked:
                yield from plan_many(folder)
                yield run_many(folder)
                yield from plan_bucket(client, url)
            if "resume" in asked:
                yield from resume(Folder(folder / "resume"), url, "in a folder")
                yield from resume(Bucket("resume", client), url, "in a bucket")
            if "give-up" in asked:
                with ThreadPoolExecutor(6) as pool:  # they wait, most of the time
                    cases = [(fault, after) for fault in ("error", "reset", "hold") for after in ("job.json", "/part-")]
                    yield from pool.map(lambda case: give_up(client, url, *case), cases)

        for what, seconds, bound, more in lines():
            holds = bound is None or seconds <= bound
            kept &= holds
            limit = "" if bound is None else f" (at most {bound:.0f} s{'' if holds else ': NOT KEPT'})"
            print(f"{what}: {seconds:.1f} s{limit}{'; ' if more else ''}{more}", flush=True)
        shutil.rmtree(folder / "many", ignore_errors=True)
    return 0 if kept else 1


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main(sys.argv[1:] or ("plan", "resume", "give-up")))

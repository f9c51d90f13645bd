"""Jobs over HTTP, at real servers: one that everybody reaches, and one with keys that has the same jobs.

The tests of a module share both, and the last one kills the first server.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psutil
import pyarrow as pa
import pytest

from service.door.key_file import KeyFile, StoredKey, change_key_file, hash_key, make_key, now
from tests.batch.places import Bucket, put_table, read_output, texts
from tests.service.client import Reply, ask
from tests.service.jobs.wait import wait_until
from tests.service.server import Server, serving

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MODEL = "tests.service.jobs.models:GatedWordCount"
ROWS = 30


@dataclass(frozen=True, kw_only=True)
class Site:
    """Two servers, and what they have in common.

    Attributes:
        open: lets everybody in; it has its turn at running jobs.
        keyed: asks for keys, and waits for its turn.
        keys: by name: ann's and bob's may submit jobs, root's everything, eve's jobs of another model; amy
            administers another model.
        gates: the folder of the model's gates.
    """

    open: Server
    keyed: Server
    keys: dict[str, tuple[str, ...]]
    gates: Path
    jobs: Path


class Data:
    """A bucket with an input of a few shards; those whose names are gates wait for them."""

    def __init__(self, client: S3Client) -> None:
        self.place = Bucket(f"jobs-{uuid4().hex}", client)
        client.create_bucket(Bucket=self.place.bucket)

    def put(self, *shards: str) -> dict[str, Any]:
        """The job over so many shards of ROWS rows."""
        for number, gate in enumerate(shards):
            table = texts(ROWS, first=number * ROWS)
            if gate:
                table = table.set_column(1, "text", [[f"wait {gate}", *table["text"].to_pylist()[1:]]])
            put_table(self.place, f"in/{number}.parquet", table)
        return {
            "model": "word-count", "input": f"{self.place.url}in/", "output": f"{self.place.url}out/",
            "shard_mb": 0.0001,
        }  # fmt: skip

    @property
    def ids(self) -> list[int]:
        """Of the rows of the output, in the order of the input."""
        return list(read_output(self.place)["id"].to_pylist())


@pytest.fixture
def data(s3_client: S3Client) -> Data:
    return Data(s3_client)


def add_key(path: Path, name: str, *scopes: str) -> tuple[str, ...]:
    """A header that opens the door."""
    key = make_key()
    stored = StoredKey(name=name, sha256=hash_key(key), scopes=list(scopes), created=now())
    change_key_file(path, lambda file: KeyFile(keys=[*file.keys, stored]))
    return (f"Authorization: Bearer {key}",)


@pytest.fixture(scope="module")
def site(s3: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "gates").mkdir()
    common = {
        "TANDEM_MODELS": MODEL, "TANDEM_JOBS_DIR": str(folder / "jobs"), "JOBS_GATES": str(folder / "gates"),
        "TANDEM_JOBS_ALLOW": f"s3://,{folder}", "TANDEM_JOBS_AT_ONCE": "2",
    }  # fmt: skip
    keys = {
        name: add_key(folder / "keys.json", name, *scopes)
        for name, scopes in {
            "ann": ["jobs"], "bob": ["jobs"], "root": ["admin", "jobs"], "eve": ["jobs:other"],
            "amy": ["jobs", "admin:other"],
        }.items()
    }  # fmt: skip
    with contextlib.ExitStack() as servers:
        first = servers.enter_context(serving(folder / "a", common))
        second = servers.enter_context(serving(folder / "b", common | {"TANDEM_KEYS": str(folder / "keys.json")}))
        yield Site(open=first, keyed=second, keys=keys, gates=folder / "gates", jobs=folder / "jobs")
        for job in (folder / "jobs").glob("*/lock"):  # of tests that failed
            if (pid := job.read_text()).isdigit() and psutil.pid_exists(int(pid)):
                os.kill(int(pid), signal.SIGKILL)


def post(server: Server, path: str, body: Any = None, headers: Sequence[str] = ()) -> Reply:
    return ask(server.port, "POST", path, b"" if body is None else json.dumps(body).encode(), headers)


def submit(server: Server, spec: Any, *headers: str) -> dict[str, Any]:
    reply = post(server, "/jobs", spec, headers)
    assert reply.status == 201, reply.body
    assert reply.headers["location"] == f"/jobs/{reply.content['id']}"
    return dict(reply.content)


def look(server: Server, job: str, *headers: str) -> dict[str, Any]:
    reply = ask(server.port, "GET", f"/jobs/{job}", headers=headers)
    assert reply.status == 200, reply.body
    return dict(reply.content)


def wait_for(server: Server, job: str, status: str, *headers: str) -> dict[str, Any]:
    def is_so() -> dict[str, Any] | None:
        found = look(server, job, *headers)
        assert found["status"] == status or found["ended"] is None, found
        return found if found["status"] == status else None

    return dict(wait_until(is_so, seen=lambda: look(server, job, *headers)))


def events_of(reply: Reply) -> list[dict[str, Any]]:
    assert reply.headers["content-type"].startswith("text/event-stream")
    lines = reply.body.decode().splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


def refused(reply: Reply) -> tuple[int, str]:
    assert set(reply.content) == {"error"}
    return reply.status, reply.content["error"]


def test_a_job_is_taken_watched_to_its_end_and_reported(site: Site, data: Data) -> None:
    job = submit(site.open, data.put("", "", ""))
    assert (job["status"], job["ended"]) == ("queued", None)
    assert job["progress"]["shards"] == 3
    events = events_of(ask(site.open.port, "GET", f"/jobs/{job['id']}/events"))
    assert [event["status"] for event in events][-1] == "done"
    assert look(site.open, job["id"]) == events[-1]
    wanted = {"shards": 3, "shards_done": 3, "rows": 3 * ROWS, "rows_done": 3 * ROWS, "error_rows": 0}
    assert wanted.items() <= events[-1]["progress"].items()
    assert (events[-1]["exit_code"], events[-1]["message"]) == (0, None)
    assert data.ids == list(range(3 * ROWS))

    report = ask(site.open.port, "GET", f"/jobs/{job['id']}/report")
    assert report.status == 200
    assert report.headers["content-type"].startswith("text/html")
    assert report.headers["content-security-policy"].startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert b"word-count" in report.body

    again = ask(site.open.port, "GET", f"/jobs/{job['id']}/events")
    (last,) = (line for line in again.body.decode().splitlines() if line.startswith("id: "))
    seen = [f"Last-Event-ID: {last.removeprefix('id: ')}"]
    assert ask(site.open.port, "GET", f"/jobs/{job['id']}/events", headers=seen).status == 204
    assert refused(post(site.open, f"/jobs/{job['id']}/cancel"))[0] == 409
    assert job["id"] in [one["id"] for one in site.open.get("/jobs").content["jobs"]]


def test_what_cannot_be_run_is_refused_before_it_is_a_job(site: Site, data: Data) -> None:
    spec = data.put("")
    before = site.open.get("/jobs").content

    def refuse(**changes: Any) -> tuple[int, str]:
        return refused(post(site.open, "/jobs", spec | changes))

    for name in ("nobody", "nobody:1", "../zoo", "s3://b/model", "tests.batch.own_models:WordCount", str(site.jobs)):
        status, said = refuse(model=name)
        assert (status, said[:9]) == (404, "model: no")
    assert refuse(limit=0) == (400, "limit: expected a whole number from 1 to 9007199254740992, found 0.")
    assert refuse(endpoint_url="http://127.0.0.1:1/")[0] == 400
    assert refuse(output="/etc/tandem/")[0] == 403
    assert refuse(input=f"{data.place.url}nothing/") == (
        422,
        f"{data.place.url}nothing/ was not found: no object is there. Check the name.",
    )
    status, said = refuse(column={"text": "headline"})
    assert (status, "headline" in said) == (422, True)
    assert refuse(memory="lots")[0] == 422
    assert str(site.jobs) not in refuse(where="id ==== 1")[1]
    assert refused(ask(site.open.port, "POST", "/jobs", b'{"model": NaN}'))[0] == 400
    assert refused(ask(site.open.port, "POST", "/jobs", b"[" * 100_000))[0] == 400
    assert refused(ask(site.open.port, "POST", "/jobs", b"{}", ["Content-Type: text/plain"]))[0] == 400
    for path in ("/jobs/none", "/jobs/none/events", "/jobs/none/report"):
        assert refused(site.open.get(path))[0] == 404
    assert refused(post(site.open, "/jobs/none/cancel"))[0] == 404
    assert refused(site.open.get("/jobs?limit=0"))[0] == 400
    assert site.open.get("/jobs").content == before
    assert not [path for path in site.jobs.iterdir() if path.name.startswith(".plan")]


def test_the_same_key_gives_the_same_job_back(site: Site, data: Data) -> None:
    spec, key = data.put(""), f"Idempotency-Key: {uuid4()}"
    job = submit(site.open, spec, key)
    again = post(site.open, "/jobs", spec, [key])
    assert (again.status, again.content["id"]) == (200, job["id"])
    assert refused(post(site.open, "/jobs", spec | {"limit": 1}, [key]))[0] == 409
    wait_for(site.open, job["id"], "done")


def test_a_cancelled_job_keeps_what_is_finished_and_goes_on_when_it_is_submitted_again(site: Site, data: Data) -> None:
    spec = data.put("", "cancel-1", "cancel-1")
    job = submit(site.open, spec)
    wait_until(lambda: (look(site.open, job["id"])["progress"] or {}).get("shards_done") == 1)
    asked = post(site.open, f"/jobs/{job['id']}/cancel")
    assert (asked.status, asked.content["status"]) == (200, "running")
    log = site.jobs / job["id"] / "log.jsonl"
    wait_until(lambda: "SIGTERM" in log.read_text(), seen=lambda: (look(site.open, job["id"]), log.read_text()))
    (site.gates / "cancel-1").touch()
    found = wait_for(site.open, job["id"], "cancelled")
    assert (found["exit_code"], found["progress"]["left_s"]) == (75, None)
    assert post(site.open, f"/jobs/{job['id']}/cancel").content == found
    wait_for(site.open, submit(site.open, spec)["id"], "done")
    assert data.ids == list(range(3 * ROWS))


def test_a_job_whose_turn_has_not_come_is_cancelled_at_once(site: Site, s3_client: S3Client) -> None:
    held = [submit(site.open, Data(s3_client).put("queue")) for _ in range(2)]
    waits = submit(site.open, Data(s3_client).put(""))
    for job in held:
        wait_for(site.open, job["id"], "running")
    assert look(site.open, waits["id"])["status"] == "queued"
    assert post(site.open, f"/jobs/{waits['id']}/cancel").content["status"] == "cancelled"
    assert refused(ask(site.open.port, "GET", f"/jobs/{waits['id']}/report"))[0] == 404
    (site.gates / "queue").touch()
    for job in held:
        wait_for(site.open, job["id"], "done")


def test_a_job_that_fails_says_why_in_its_own_words(site: Site, data: Data) -> None:
    spec = data.put("")
    put_table(data.place, "in/0.parquet", pa.table({"text": pa.array([None, "a"], pa.string())}))
    job = submit(site.open, spec | {"max_errors": 0})
    found = wait_for(site.open, job["id"], "failed")
    assert found["exit_code"] == 4
    assert 'more than "max_errors" 0 allows' in found["message"]
    assert found["progress"]["error_rows"] == 1


def test_a_job_submitted_again_to_a_finished_output_has_the_error_rows_of_that(site: Site, data: Data) -> None:
    spec = data.put("")
    put_table(data.place, "in/0.parquet", pa.table({"text": pa.array([None, "a"], pa.string())}))
    for _ in range(2):
        found = wait_for(site.open, submit(site.open, spec)["id"], "done")
        assert found["progress"]["error_rows"] == 1


def test_a_key_sees_its_own_jobs_and_an_admins_all(site: Site, data: Data) -> None:
    ann, bob, root, eve, amy = (site.keys[name] for name in ("ann", "bob", "root", "eve", "amy"))
    spec = data.put("")
    assert refused(post(site.keyed, "/jobs", spec, eve))[0] == 404
    assert refused(post(site.keyed, "/jobs", spec))[0] == 401
    job = submit(site.keyed, spec, *ann)["id"]
    wait_for(site.keyed, job, "done", *ann)  # run by the other server, whose turn it is
    for path in ("", "/events", "/report"):
        assert refused(ask(site.keyed.port, "GET", f"/jobs/{job}{path}", headers=bob))[0] == 404
    assert refused(post(site.keyed, f"/jobs/{job}/cancel", headers=bob))[0] == 404

    def seen(key: Sequence[str]) -> list[str]:
        found = ask(site.keyed.port, "GET", "/jobs", headers=key).content["jobs"]
        return [one["id"] for one in found]

    assert (seen(ann), seen(bob), seen(eve), seen(amy)) == ([job], [], [], [])
    assert refused(post(site.keyed, f"/jobs/{job}/cancel", headers=amy))[0] == 404
    assert job in seen(root)
    assert len(seen(root)) > 1


def test_who_watches_is_let_go_once_his_key_is_taken_away(site: Site, data: Data) -> None:
    keys = site.jobs.parent / "keys.json"
    leaver = add_key(keys, "leaver", "jobs")
    wait_until(lambda: ask(site.keyed.port, "GET", "/jobs", headers=leaver).status == 200)  # the file was read again
    job = submit(site.keyed, data.put("removed-key"), *leaver)["id"]
    with socket.create_connection(("127.0.0.1", site.keyed.port), timeout=20) as watching:
        head = f"GET /jobs/{job}/events HTTP/1.1\r\nHost: 127.0.0.1\r\n{leaver[0]}\r\n\r\n"
        watching.sendall(head.encode())
        with watching.makefile("rb") as said:
            assert said.readline().startswith(b"HTTP/1.1 200")
            change_key_file(keys, lambda file: KeyFile(keys=[key for key in file.keys if key.name != "leaver"]))
            while said.readline() != b"0\r\n":
                pass
    assert look(site.open, job)["ended"] is None, "it was not the job that ended"
    (site.gates / "removed-key").touch()
    found = wait_for(site.open, job, "done")
    assert found["progress"]["rows_done"] == ROWS


def kill_server(server: Server) -> None:
    """SIGKILL for all of its processes but those of its jobs."""
    main = psutil.Process(server.process.pid)
    own = [main, *main.children(recursive=True)]
    for each in own:
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended with the one before
            if not {"launch.py", "batch.cli.main"} & {Path(word).name for word in each.cmdline()}:
                each.kill()
    server.process.wait(60)


def test_jobs_outlive_the_kill_of_their_server_with_each_row_once(site: Site, data: Data, s3_client: S3Client) -> None:
    root, other = site.keys["root"], Data(s3_client)
    lives, dies = submit(site.open, data.put("", "kill-1")), submit(site.open, other.put("", "kill-2"))
    for job in (lives, dies):
        wait_until(lambda job=job: (look(site.open, job["id"])["progress"] or {}).get("shards_done") == 1)
    kill_server(site.open)
    pids = {job["id"]: int((site.jobs / job["id"] / "lock").read_text()) for job in (lives, dies)}
    os.killpg(os.getpgid(pids[dies["id"]]), signal.SIGKILL)
    assert look(site.keyed, lives["id"], *root)["status"] == "running"
    # The other server takes its turn: one job it takes up as it is, the other it begins again.
    wait_until(lambda: f"job {lives['id']} is still run, by process {pids[lives['id']]}" in site.keyed.log.read_text())
    wait_until(lambda: f"job {dies['id']} runs" in site.keyed.log.read_text())
    for gate in ("kill-1", "kill-2"):
        (site.gates / gate).touch()
    for job, place in ((lives, data), (dies, other)):
        found = wait_for(site.keyed, job["id"], "done", *root)
        assert found["progress"]["shards_done"] == 2
        assert place.ids == list(range(2 * ROWS))

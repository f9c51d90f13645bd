"""The demo from its first line to its last; every claim it prints is a check that can fail."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import click

from batch.demo.cases import CASES, Case, read_manifest, read_predictions, read_source
from batch.demo.online import CLIENTS, compare
from batch.demo.processes import DemoFailed, free_port, run_tandem, running, s3_settings, tandem
from batch.status import read_status
from batch.stores.storage import open_store
from models.load import describe_model
from models.locate import cache_home
from models.zoo.datasets import write_demo_data

#: How far an accuracy may lie below the one that the model's spec states.
ALLOWED_DROP = 0.02
LEAST_WINDOW = 4.0


def run_demo(*, keep: bool) -> None:
    """Run three jobs, the endpoint, and a killed job; print what was found.

    Args:
        keep: leave the S3 server and its data up until Ctrl-C.

    Raises:
        DemoFailed: with every check that did not hold.
    """
    began = time.monotonic()
    failures: list[str] = []
    folder = Path(tempfile.mkdtemp(prefix="tandem-demo-"))
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= s3_settings(port) | {"PYTHONWARNINGS": "ignore", "BENTOML_DO_NOT_TRACK": "True"}
    os.environ.pop("AWS_PROFILE", None)
    os.environ.update(s3_settings(port))
    server = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    # Asked to end by a signal, the demo still ends its servers.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        with running(
            server,
            log=folder / "s3.log",
            ready=f"http://127.0.0.1:{port}/moto-api/",
            environment=environment,
        ):
            data = put_data()
            click.echo(f"An S3 server is up at http://127.0.0.1:{port}, with {data} Parquet files in s3://demo/in/.\n")
            failures += run_jobs(environment)
            failures += run_online(folder, environment)
            failures += kill_and_resume(CASES[0], environment)
            click.echo(f"\nThe demo took {time.monotonic() - began:.0f} s.")
            if failures:
                raise DemoFailed("; ".join(failures))
            print_next(port if keep else None)
            if keep:
                wait_for_ctrl_c()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def put_data() -> int:
    """Write the real data as Parquet and put it into the embedded S3; returns the number of files."""
    import boto3

    client = boto3.client("s3")
    client.create_bucket(Bucket="demo")
    files = 0
    for name, folder in write_demo_data(cache_home() / "demo").items():
        for path in sorted(folder.glob("*.parquet")):
            client.upload_file(str(path), "demo", f"in/{name}/{path.name}")
            files += 1
    return files


def run_jobs(environment: Mapping[str, str]) -> list[str]:
    """One job for each family, by the command that a user would type."""
    failures = []
    click.echo("Batch: one job for each family")
    for case in CASES:
        run_tandem("run", *case.flags(), environment=environment)
        manifest = read_manifest(case.output)
        assert manifest["quality"] is not None
        accuracy = manifest["quality"]["accuracy"]
        stated = describe_model(case.model).spec.accuracy
        assert stated is not None
        speed = manifest["run"]["rows_per_s"]
        click.echo(
            f"  {case.family:<12} {case.model:<15} {manifest['rows']:>5} rows {speed:>7,.0f} rows/s   "
            f"accuracy {accuracy:.4f} (stated {stated.value:.4f})   {manifest['error_rows']} error rows"
        )
        if accuracy < stated.value - ALLOWED_DROP:
            failures.append(
                f"{case.model}: accuracy {accuracy:.4f} is more than {ALLOWED_DROP} below {stated.value:.4f}"
            )
    return failures


def run_online(folder: Path, environment: Mapping[str, str]) -> list[str]:
    """The same rows over HTTP, one a request, held against what the jobs wrote."""
    failures = []
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    home = folder / "bentoml"
    home.mkdir()
    settings = {
        "BENTOML_HOME": str(home),
        "TANDEM_MODELS": ",".join(case.model for case in CASES),
        "TANDEM_LATENCY_SLO": "60s",  # every row shall be answered, on a laptop that does other things, too
    }
    command = [sys.executable, "-m", "bentoml", "serve", "--host", "127.0.0.1", "--port", str(port)]
    click.echo(f"\nOnline: 200 of the same rows, one a request, from {CLIENTS} clients")
    with running(command, log=folder / "serve.log", ready=f"{url}/readyz", environment={**environment, **settings}):
        for case in CASES:
            found = compare(case, url)
            tolerance = describe_model(case.model).spec.tolerance
            click.echo(
                f"  {case.family:<12} {case.model:<15} largest difference to batch {found.difference:.1e}   "
                f"labels agree {100 * found.agreement:.1f} %   "
                f"together {found.window:.1f}, a micro-batch {found.micro_batch:.1f}"
            )
            if found.difference > tolerance:
                failures.append(
                    f"{case.model}: batch and online differ by {found.difference:.2e}, more than {tolerance:g}"
                )
            if found.window <= LEAST_WINDOW:
                failures.append(f"{case.model}: {found.window:.1f} rows were answered together on average, not above 4")
    return failures


def kill_and_resume(case: Case, environment: Mapping[str, str]) -> list[str]:
    """SIGKILL a job half way, run the same command again, and count every row."""
    output = "s3://demo/out/killed/"
    command = tandem("run", *case.flags(output), "--shard-mb", "0.03")
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if sum("part-" in info.key for info in open_store(output).list()) >= 3:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.02)
    process.wait(30)
    found = read_status(output)
    killed = process.returncode == -signal.SIGKILL
    click.echo(
        f"\nKilled: SIGKILL ended a job with {found['shards_done']} of {found['shards']} shards committed"
        if killed
        else f"\nKilled: the job ended before it could be killed ({process.returncode})"
    )
    run_tandem(*command[3:], environment=environment)
    rows = Counter(
        zip(*(read_predictions(output).column(name).to_pylist() for name in ("_source", "_row")), strict=True)
    )
    expected = Counter(list(read_source(case)))
    missing, double = expected - rows, rows - expected
    click.echo(f"  resumed: {rows.total()} rows, {missing.total()} missing, {double.total()} double")
    failures = (
        [f"the resumed job has {missing.total()} rows missing and {double.total()} double"] if missing or double else []
    )
    if not (killed and found["shards_done"] < found["shards"]):
        failures.append("the job was not killed half way")
    return failures


def print_next(port: int | None) -> None:
    """What to type next; each of these works when pasted."""
    data, predictions = cache_home() / "demo" / "news", cache_home() / "demo-predictions"
    click.echo("\nTry next:")
    if port is not None:
        for name, value in s3_settings(port).items():
            click.echo(f"  export {name}={value}")
        click.echo("  tandem status s3://demo/out/news/")
        click.echo("  tandem head s3://demo/out/news/")
        return
    click.echo(f"  . {Path(sys.prefix) / 'bin' / 'activate'}")
    click.echo(f"  tandem run --model bbc-bert --input {data} --output {predictions} --label label")
    click.echo(f"  tandem head {predictions}")
    click.echo("  tandem zoo list")
    click.echo("  bentoml serve            # then open http://127.0.0.1:3000")


def wait_for_ctrl_c() -> None:
    click.echo("\nThe S3 server stays up with its data; Ctrl-C ends it.")
    try:
        signal.pause()
    except KeyboardInterrupt:
        click.echo("ended")

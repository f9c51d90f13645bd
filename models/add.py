"""A folder or hub id -> a model in the store: recognised, exported, checked, recorded."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from models.artifact import DIGEST_FILE, VARIANTS, record_digest, refuse_unsafe
from models.carry_variants import variant_folders
from models.detect import detect_spec
from models.errors import ContractBroken, MissingExtra, ModelError, ModelNotFound, SpecInvalid
from models.flops import record_flops
from models.locate import locate_tag
from models.sentence_modules import read_steps
from models.spec import SPEC_FILE, Accuracy, ModelSpec, parse_spec, write_spec
from models.store import save_model
from models.tokenizer import read_json
from models.variants import REFERENCE

GRAPH_FILE = "model.onnx"
#: How long the reference's micro-batches are timed when a model is added.
TIMING_S = 2.0
#: What an artifact holds besides tandem.yaml and licences: weights, configurations, vocabularies, graphs, their data.
KEPT = frozenset({".safetensors", ".json", ".txt", ".model", ".onnx", ".data"})
#: What is asked of the hub: never pickles, and none of the exports for other libraries in its subfolders.
HUB_PATTERNS = ("*.safetensors", "*.json", "*.txt", "*.model", "LICENSE*", "*_*/config.json", "*_*/model.safetensors")
#: huggingface_hub's errors run over many lines.
HUB_FAILURES = {
    "LocalEntryNotFoundError": "it cannot be reached from here, and its cache on this machine does not have the model",
    "RepositoryNotFoundError": "no such repository, or a private one: log in with `hf auth login`",
    "GatedRepoError": "its owner must grant access first: ask on the model's page, then `hf auth login`",
    "RevisionNotFoundError": "no such revision",
}
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+|[\w-][\w.-]*")

Step = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What became of a source.

    Attributes:
        difference: the largest between export and original; None where neither was made.
        before: the version that the name stood for until now, where it has variants that this one lacks.
        lost: these variants.
    """

    tag: str
    folder: Path
    spec: ModelSpec
    digest: str
    difference: float | None
    before: str = ""
    lost: tuple[str, ...] = ()

    def lines(self) -> Iterator[str]:
        """What its owner should know besides."""
        if self.lost:
            yield (
                f"  {self.spec.name} was {self.before} until now, which has {', '.join(self.lost)}; this one has not. "
                "Make it with tandem model optimize, or name the other version."
            )


def add_model(
    source: str | Path, *, name: str, revision: str | None = None, on_step: Step = lambda step: None
) -> Added:
    """Turn a folder, an ONNX file with a tandem.yaml beside it, or a hub id into a model in the store.

    The same content added twice on one machine is the same version. The source is only read.

    Args:
        source: where the weights are.
        name: of the model.
        revision: of a hub id: branch, tag or commit.
        on_step: is told what is being done, in a few words.

    Raises:
        ArtifactRefused: pickles, code, or links that leave the folder.
        UnsupportedTask: the task, by its name.
        ExportDisagrees: the ONNX graph answers otherwise than the original; nothing was saved.
        ModelError: anything else that is wrong with the source.
    """
    before = newest_variants(name)
    with open_source(source, revision, on_step) as (folder, origin), tempfile.TemporaryDirectory() as scratch:
        spec = detect_spec(folder, name=name)  # reads JSON and YAML only
        refuse_unsafe(folder)
        spec = parse_spec(spec.model_dump() | {"source": origin or spec.source}, where=str(source))
        staging = Path(scratch) / "artifact"
        copy_files(folder, staging)
        on_step(f"{spec.family}, {spec.task}")
        with blaming(str(source), staging):
            difference = prepare_graph(staging, spec, on_step)
            spec = with_accuracy(spec, staging)
        write_spec(spec, staging)
        digest = record_digest(staging)
        record_flops(staging, spec)
        on_step("timing micro-batches")
        ship_costs(staging)
        on_step("saving")
        tag = save_model(staging, name)
    stored = locate_tag(tag).folder
    lost = tuple(sorted(before[1] - newest_variants(name)[1]))
    return Added(tag=tag, folder=stored, spec=spec, digest=digest, difference=difference, before=before[0], lost=lost)


def newest_variants(name: str) -> tuple[str, set[str]]:
    """The version that a name stands for, and which variants somebody made of it; none where there is no such model."""
    try:
        found = locate_tag(name)
    except ModelNotFound:
        return "", set()
    return f"{name}:{found.version}", {folder.name for folder in variant_folders(found.folder)}


def ship_costs(folder: Path) -> None:
    """Time the reference's micro-batches on this host: a prior for others, and already known here."""
    from models.load import load_model
    from models.measure_costs import keep_costs, measure_costs, write_costs

    model = load_model(str(folder), runtime="onnx", precision="fp32", device="cpu")
    model.costs = measure_costs(model, seconds=TIMING_S)
    write_costs(folder / VARIANTS / REFERENCE, model.costs)
    keep_costs(model)


@contextmanager
def blaming(source: str, staging: Path) -> Iterator[None]:
    """Errors name the files where their owner has them, not the copy that was worked on."""
    try:
        yield
    except ModelError as error:
        error.args = (str(error).replace(str(staging), source.rstrip("/")),)
        raise


def prepare_graph(staging: Path, spec: ModelSpec, on_step: Step) -> float | None:
    """Make the ONNX graph where the folder has none, and try it either way."""
    graph = staging / GRAPH_FILE
    if graph.is_file() or spec.architecture == "onnx":
        from models.contract import check_contract
        from models.load import build_runtime, family_class
        from models.model import Options

        runtime = build_runtime(staging, spec, runtime="onnx", device="cpu")
        model = family_class(spec)(folder=staging, spec=spec, runtime=runtime, options=Options(), fetch=None)
        model.tag = spec.name
        for promise in check_contract(model):
            if not promise.kept:
                raise ContractBroken(spec.name, promise=promise.name, found=promise.found)
        return None
    try:
        from models.check_export import check_export, describe_inside
        from models.export import export_onnx
        from models.networks.build import build_network
        from models.runtimes.eager import EagerRuntime
        from models.runtimes.onnx_runtime import OnnxRuntime
        from models.settle_tokenizer import settle_tokenizer
    except ModuleNotFoundError as error:
        raise MissingExtra("tandem model add", package=str(error.name), extra="torch") from None
    if spec.architecture == "hugging-face" and spec.inputs[0].kind == "text":
        settle_tokenizer(staging)
    on_step("loading")
    network = build_network(staging, spec)
    on_step("exporting to ONNX")
    export_onnx(network, spec, graph)
    on_step("checking the export")
    inside = describe_inside(network, spec, staging)
    return check_export(EagerRuntime(network, device="cpu"), OnnxRuntime(graph, device="cpu"), spec, inside)


def with_accuracy(spec: ModelSpec, folder: Path) -> ModelSpec:
    """The spec with what the training script wrote into accuracy.json."""
    measured = read_json(folder / "accuracy.json")
    if not measured:
        return spec
    try:
        accuracy = Accuracy(value=float(measured["value"]), rows=int(measured["rows"]), data=str(measured["data"]))
    except (KeyError, TypeError, ValueError):
        raise SpecInvalid(
            str(folder / "accuracy.json"), f"expected value, rows and data, found {json.dumps(measured)[:100]}"
        ) from None
    return spec.model_copy(update={"accuracy": accuracy})


def copy_files(folder: Path, staging: Path) -> None:
    """Copy what an artifact holds: the files at the top, and the folders that modules.json names.

    Folders of a hub repository for other libraries (`onnx/`, `openvino/`) stay behind. Everything becomes readable.
    """
    staging.mkdir(parents=True)
    staging.chmod(0o755)
    for place in dict.fromkeys((folder, *(place for _, place in read_steps(folder)))):
        if not place.is_dir():  # a step without settings, such as 2_Normalize, is often not stored
            continue
        target = staging / place.relative_to(folder)
        target.mkdir(parents=True, exist_ok=True)
        for path in sorted(place.iterdir()):
            if path.is_file() and not path.name.startswith(".") and is_kept(path):
                shutil.copyfile(path, target / path.name)
                (target / path.name).chmod(0o644)
    graphs = sorted(staging.glob("*.onnx"))
    if len(graphs) == 1 and graphs[0].name != GRAPH_FILE:
        graphs[0].rename(staging / GRAPH_FILE)


def is_kept(path: Path) -> bool:
    if path.name == SPEC_FILE or path.name.upper().startswith(("LICENSE", "LICENCE", "NOTICE")):
        return True
    return path.suffix in KEPT and path.name != DIGEST_FILE


@contextmanager
def open_source(source: str | Path, revision: str | None, on_step: Step) -> Iterator[tuple[Path, str]]:
    """The folder that a source is, and where it came from if that is the hub."""
    path = Path(source).expanduser()
    if path.is_dir():
        yield path, ""
    elif path.is_file() and path.suffix == ".onnx":
        yield path.parent, ""
    elif path.exists() or not HUB_ID.fullmatch(str(source)):
        looked_in = [f"{path.absolute()}, which is {'no folder and no .onnx file' if path.exists() else 'not there'}"]
        raise ModelNotFound(str(source), looked_in=looked_in)
    else:
        with tempfile.TemporaryDirectory() as scratch:
            on_step(f"downloading {source}")
            yield Path(scratch), download(str(source), revision, Path(scratch))


def download(repository: str, revision: str | None, folder: Path) -> str:
    """Fetch a model's safetensors and configuration from the Hugging Face hub, or, offline, from the hub's own cache.

    Returns:
        The repository and its commit.

    Raises:
        ModelNotFound: no such repository, or no network to the hub.
        MissingExtra: huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import snapshot_download
    except ModuleNotFoundError as error:
        raise MissingExtra("Downloading a model", package=str(error.name), extra="torch") from None
    try:
        cached = Path(snapshot_download(repository, revision=revision, allow_patterns=list(HUB_PATTERNS)))
    except Exception as error:  # offline mode, no network, no such repository, gated, ...
        kind = type(error).__name__
        why = HUB_FAILURES.get(kind) or f"{kind}: {str(error).strip().splitlines()[0][:150]}"
        looked_in = [f"the folder {Path(repository).absolute()}, which is not there", f"the Hugging Face hub ({why})"]
        raise ModelNotFound(repository, looked_in=looked_in) from None
    # The cache consists of links; what is looked through and copied has to be files.
    shutil.copytree(cached, folder, dirs_exist_ok=True)
    return f"{repository}@{cached.name}"

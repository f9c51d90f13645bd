"""A name -> a model that answers."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from models.artifact import VARIANTS, refuse_unsafe, verify_digest
from models.choose import Tolerance, choose_variant
from models.errors import MissingExtra, ModelNotFound, RuntimeUnavailable, SpecInvalid, is_interrupt
from models.locate import VERSION_LENGTH, Located, locate_model, locate_tag
from models.measure_costs import costs_key, load_costs
from models.model import Model, Options
from models.spec import ModelSpec, read_spec
from models.variants import RUNTIMES, Variant, list_variants, own_variant, verify_variant

if TYPE_CHECKING:
    from models.runtimes.runtime import Runtime

Fetch = Callable[[str], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A model that was found and verified, but not loaded.

    Attributes:
        name: as the caller wrote it.
        spec: what it promises.
        tag: `name:version`.
        digest: of the artifact's files.
        folder: where they lie; None for an operator's own class.
        variants: name -> runtime at a precision; see models/variants.py.
        own: the operator's own model, which is loaded by being made.
    """

    name: str
    spec: ModelSpec
    tag: str
    digest: str
    folder: Path | None
    variants: Mapping[str, Variant] = field(default_factory=dict)
    own: Model | None = None


def describe_model(name: str, **s3: str | None) -> Described:
    """Find a model by its tag, folder, s3:// prefix, or `package.module:Class`, and verify it.

    Every file is hashed and compared with what was recorded before anything of it is used.

    Args:
        name: where the model is.
        s3: endpoint_url, region and profile for a model under an s3:// prefix; by default as boto3 finds them.

    Raises:
        ModelError: not found, refused or damaged.
    """
    if is_class_name(name):
        own = load_class(name)
        runtime, _, precision = own.variant.partition("-")
        only = own_variant(runtime, precision, own.digest, reference=True)
        return Described(
            name=name, spec=own.spec, tag=own.tag, digest=own.digest, folder=None, variants={only.name: only}, own=own
        )
    return describe_located(name, locate_model(name, **s3))


def describe_tag(tag: str) -> Described:
    """Find a model by `name` or `name:version` in the store or the zoo, and nowhere else, and verify it.

    Raises:
        ModelError: not found, refused or damaged.
    """
    return describe_located(tag, locate_tag(tag))


def describe_located(name: str, located: Located) -> Described:
    """Verify what was found under a name."""
    refuse_unsafe(located.folder)
    digest = verify_digest(located.folder)
    spec = read_spec(located.folder)
    tag = f"{spec.name}:{located.version or digest[:VERSION_LENGTH]}"
    variants = list_variants(located.folder, spec, digest)
    return Described(name=name, spec=spec, tag=tag, digest=digest, folder=located.folder, variants=variants)


def load_model(
    model: str | Described,
    *,
    runtime: str = "auto",
    precision: str = "auto",
    tolerance: Tolerance = None,
    variant: Variant | None = None,
    device: str = "auto",
    options: Options | None = None,
    threads: int | None = None,
    streams: int | None = None,
    compiled: bool = False,
    fetch: Fetch | None = None,
) -> Model:
    """Load a model, ready to predict.

    Args:
        model: its name (see describe_model), or what describe_model returned.
        runtime: `onnx`, `openvino` or `torch`; `auto` is the fastest variant within the tolerance, see choose_variant.
        precision: `fp32`, `bf16`, `fp16`, `int8` or `auto`.
        tolerance: see models.choose.Tolerance.
        variant: one of `described.variants`, which was chosen already; the three settings above then say nothing.
        device: `cpu`, `cuda`, or `auto`.
        options: what the caller chooses about the answers.
        threads: for the arithmetic; None takes OMP_NUM_THREADS, else every core.
        streams: calls that share these threads; None leaves it to the runtime.
        compiled: whether torch.compile makes kernels of the model.
        fetch: reads the URIs of an image column; None reads local paths only.

    Raises:
        ModelError: not found, refused, damaged, or not runnable here.
    """
    described = describe_model(model) if isinstance(model, str) else model
    options = options or Options()
    if described.own is not None:
        described.own.options = options
        return described.own
    assert described.folder is not None
    chosen = variant or choose_variant(
        described, runtime=runtime, precision=precision, device=device, tolerance=tolerance
    )
    verify_variant(chosen)
    folder = chosen.folder or described.folder
    spec = described.spec if chosen.folder is None else read_spec(folder)
    arithmetic = build_runtime(
        folder,
        spec,
        runtime=chosen.runtime,
        precision=chosen.precision,
        device=device,
        threads=threads,
        streams=streams,
        compiled=compiled,
    )
    loaded = family_class(spec)(folder=folder, spec=spec, runtime=arithmetic, options=options, fetch=fetch)
    loaded.tag = described.tag
    loaded.digest = described.digest
    loaded.variant = chosen.name
    loaded.tolerance = chosen.tolerance
    loaded.streams = arithmetic.streams
    loaded.pads = loaded.pads and arithmetic.pads
    loaded.costs_key = costs_key(
        chosen.digest, device=arithmetic.device, threads=arithmetic.threads, streams=arithmetic.streams
    )
    loaded.costs = load_costs(described.folder / VARIANTS / loaded.variant, loaded.costs_key)
    return loaded


def family_class(spec: ModelSpec) -> Callable[..., Model]:
    if spec.family == "transformer":
        from models.transformer import TransformerModel

        return TransformerModel
    if spec.family == "cnn":
        from models.cnn import CnnModel

        return CnnModel
    from models.rnn import RnnModel

    return RnnModel


def build_runtime(
    folder: Path,
    spec: ModelSpec,
    *,
    runtime: str,
    precision: str = "fp32",
    device: str = "auto",
    threads: int | None = None,
    streams: int | None = None,
    compiled: bool = False,
) -> Runtime:
    """Make a runtime of the graph or weights in a folder.

    Raises:
        RuntimeUnavailable: unknown, or the folder lacks the file that it needs; or it compiles nothing.
        MissingExtra: its package is not installed.
    """
    if compiled and runtime != "torch":
        raise RuntimeUnavailable(runtime, why="only torch compiles (--compile)", available=["--runtime torch"])
    if runtime == "onnx":
        from models.runtimes.onnx_runtime import OnnxRuntime

        graph = folder / "model.onnx"
        return OnnxRuntime(graph, precision=precision, threads=threads, streams=streams, device=device)
    if runtime == "openvino":
        if importlib.util.find_spec("openvino") is None:
            raise MissingExtra("--runtime openvino", package="openvino", extra="openvino")
        from models.runtimes.open_vino import OpenVinoRuntime

        graph = folder / "model.xml"
        return OpenVinoRuntime(graph, precision=precision, threads=threads, streams=streams, device=device)
    if runtime == "torch":
        if spec.architecture == "onnx":
            raise RuntimeUnavailable("torch", why=f"{spec.name} is an ONNX file only", available=["onnx"])
        try:
            from models.networks.build import build_network
            from models.runtimes.eager import EagerRuntime
        except ModuleNotFoundError as error:
            raise MissingExtra("--runtime torch", package=str(error.name), extra="torch") from None
        network = build_network(folder, spec)
        return EagerRuntime(network, precision=precision, device=device, threads=threads, compiled=compiled)
    raise RuntimeUnavailable(runtime, why="there is no runtime of that name", available=RUNTIMES)


def is_class_name(name: str) -> bool:
    """Whether a name is `package.module:Class`: a dot or capital tells it from a tag `name:version`."""
    module, colon, attribute = name.partition(":")
    return bool(colon) and attribute.isidentifier() and attribute[:1].isupper() and "/" not in module


def load_class(name: str) -> Model:
    """Import the operator's own class and make one without arguments. Never done for a name found in an artifact.

    Raises:
        ModelNotFound: no such module or class.
        SpecInvalid: its module cannot be imported, it is no Model, or it cannot be made without arguments.
    """
    module_name, _, attribute = name.partition(":")
    if not all(module_name.split(".")):
        raise SpecInvalid(name, "expected package.module:Class, with the module's name in full")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if not f"{module_name}.".startswith(f"{error.name}."):
            raise import_fault(name, error) from None
        ours = module_name.partition(".")[0] in ("models", "batch", "service")
        hint = " (which is Tandem's own package: name yours otherwise)" if ours else ""
        raise ModelNotFound(name, looked_in=[f"the module {module_name} on sys.path{hint}"]) from None
    except BaseException as error:  # whatever an operator's module does
        if is_interrupt(error):
            raise
        raise import_fault(name, error) from None
    found = getattr(module, attribute, None)
    if found is None:
        raise ModelNotFound(name, looked_in=[f"the module {module_name}, which has no {attribute}"])
    if not (isinstance(found, type) and issubclass(found, Model)):
        raise SpecInvalid(name, "is not a subclass of models.model.Model")
    try:
        model = found()
    except BaseException as error:
        if is_interrupt(error):
            raise
        raise SpecInvalid(name, f"could not be made without arguments: {type(error).__name__}: {error}") from error
    if not isinstance(getattr(model, "spec", None), ModelSpec):
        raise SpecInvalid(name, "has no `spec` of type ModelSpec")
    if not model.digest:
        model.digest = class_digest(found)
    if model.tag == "unnamed:0":
        model.tag = f"{model.spec.name}:{model.digest[:VERSION_LENGTH]}"
    return model


def import_fault(name: str, error: BaseException) -> SpecInvalid:
    """What an operator's module raised, and the line of it that did."""
    if isinstance(error, SyntaxError) and error.filename:
        file, line, why = error.filename, error.lineno, error.msg
    else:
        frames = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if not frame.filename.startswith("<frozen") and frame.filename not in (__file__, importlib.__file__)
        ]
        file, line = (frames[0].filename, frames[0].lineno) if frames else ("", None)
        why = str(error)
    where = f" at {file}, line {line}" if file else ""
    return SpecInvalid(name, f"importing it failed{where}: {type(error).__name__}: {why}".rstrip(".: "))


def class_digest(model_class: type[Model]) -> str:
    """An operator's class has no artifact: its name and its module's source stand for it."""
    import inspect

    digest = hashlib.sha256(Path(inspect.getfile(model_class)).read_bytes())
    digest.update(model_class.__qualname__.encode())
    return digest.hexdigest()

"""A name -> a model that answers."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from models.artifact import VARIANTS, refuse_unsafe, verify_digest
from models.errors import MissingExtra, ModelNotFound, RuntimeUnavailable, SpecInvalid
from models.locate import VERSION_LENGTH, locate_model
from models.measure_costs import costs_key, load_costs
from models.model import Model, Options
from models.spec import ModelSpec, read_spec

if TYPE_CHECKING:
    from models.runtimes.runtime import Runtime

RUNTIMES = ("onnx", "torch")
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
        own: the operator's own model, which is loaded by being made.
    """

    name: str
    spec: ModelSpec
    tag: str
    digest: str
    folder: Path | None
    own: Model | None = None

    def variant(self, runtime: str) -> str:
        """The runtime and precision that `runtime` stands for: `auto` is the reference."""
        if self.own is not None:
            return self.own.variant
        return f"{'onnx' if runtime == 'auto' else runtime}-fp32"

    def variant_digest(self, runtime: str) -> str:
        return hashlib.sha256(f"{self.digest}:{self.variant(runtime)}".encode()).hexdigest()


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
        return Described(name=name, spec=own.spec, tag=own.tag, digest=own.digest, folder=None, own=own)
    located = locate_model(name, **s3)
    refuse_unsafe(located.folder)
    digest = verify_digest(located.folder)
    spec = read_spec(located.folder)
    tag = f"{spec.name}:{located.version or digest[:VERSION_LENGTH]}"
    return Described(name=name, spec=spec, tag=tag, digest=digest, folder=located.folder)


def load_model(
    model: str | Described,
    *,
    runtime: str = "auto",
    device: str = "auto",
    options: Options | None = None,
    threads: int | None = None,
    fetch: Fetch | None = None,
) -> Model:
    """Load a model, ready to predict.

    Args:
        model: its name (see describe_model), or what describe_model returned.
        runtime: `onnx` or `torch`; `auto` is `onnx`, the reference.
        device: `cpu`, `cuda`, or `auto`.
        options: what the caller chooses about the answers.
        threads: for the arithmetic of one call; None takes OMP_NUM_THREADS, else every core.
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
    chosen = build_runtime(described.folder, described.spec, runtime=runtime, device=device, threads=threads)
    loaded = family_class(described.spec)(
        folder=described.folder, spec=described.spec, runtime=chosen, options=options, fetch=fetch
    )
    loaded.tag = described.tag
    loaded.digest = described.digest
    loaded.variant = f"{chosen.name}-{chosen.precision}"
    loaded.streams = chosen.streams
    loaded.costs_key = costs_key(
        described.variant_digest(chosen.name), device=chosen.device, threads=chosen.threads, streams=chosen.streams
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


def check_runtime(described: Described, runtime: str, device: str = "auto") -> None:
    """Whether this host and this artifact can run a runtime on a device, found without loading anything.

    Raises:
        RuntimeUnavailable, MissingExtra: they cannot.
    """
    if described.own is not None:
        return
    assert described.folder is not None
    if runtime == "torch":
        if described.spec.architecture == "onnx":
            raise RuntimeUnavailable("torch", why=f"{described.spec.name} is an ONNX file only", available=["onnx"])
        for package in ("torch", "transformers"):
            if importlib.util.find_spec(package) is None:
                raise MissingExtra("--runtime torch", package=package, extra="torch")
        if device == "cuda":
            from models.runtimes import eager

            eager.choose_device(device)
        return
    if not (described.folder / "model.onnx").is_file():
        raise RuntimeUnavailable("onnx", why=f"{described.folder} has no model.onnx", available=["torch"])
    if device == "cuda":
        from models.runtimes import onnx_runtime

        onnx_runtime.choose_device(device, onnx_runtime.installed_providers())


def build_runtime(folder: Path, spec: ModelSpec, *, runtime: str, device: str, threads: int | None) -> Runtime:
    """Make the runtime that the caller named; `auto` is `onnx`.

    Raises:
        RuntimeUnavailable: unknown, or the artifact lacks the file that it needs.
    """
    if runtime in ("onnx", "auto"):
        from models.runtimes.onnx_runtime import OnnxRuntime

        return OnnxRuntime(folder / "model.onnx", threads=threads, device=device)
    if runtime == "torch":
        if spec.architecture == "onnx":
            raise RuntimeUnavailable("torch", why=f"{spec.name} is an ONNX file only", available=["onnx"])
        try:
            from models.networks.build import build_network
            from models.runtimes.eager import EagerRuntime
        except ModuleNotFoundError as error:
            raise MissingExtra("--runtime torch", package=str(error.name), extra="torch") from None
        return EagerRuntime(build_network(folder, spec), device=device, threads=threads)
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
    except (Exception, SystemExit) as error:  # whatever an operator's module does
        raise import_fault(name, error) from None
    found = getattr(module, attribute, None)
    if found is None:
        raise ModelNotFound(name, looked_in=[f"the module {module_name}, which has no {attribute}"])
    if not (isinstance(found, type) and issubclass(found, Model)):
        raise SpecInvalid(name, "is not a subclass of models.model.Model")
    try:
        model = found()
    except Exception as error:
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

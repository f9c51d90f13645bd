"""The sides of the text embedding comparisons, each with its best documented settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.data import RowSet, bench_cache, calibration_rows
from benchmarks.peer_process import Entrant
from models.locate import locate_model
from models.spec import read_spec

#: What asks for int8 answers; with a tolerance alone, a short job would keep the reference.
INT8_JOB: Mapping[str, Any] = {"precision": "int8"}


def tandem(name: str, model: str, *, cores: int | None = None, **job: Any) -> Entrant:
    """Ourselves: what `job` does not name keeps its default."""
    settings = {"job": {"model": model, **job}}
    return Entrant(name=name, module="tandem", environment="tandem", settings=settings, cores=cores)


def model_folder(model: str) -> Path:
    return locate_model(model).folder


def sentence_transformers(backend: str, precision: str, *, quantised_on: RowSet | None = None) -> Entrant:
    """`encode` at its defaults; the folder of the original model, its own exporters for the other backends."""
    return Entrant(
        name=f"sentence-transformers, {backend} {precision}",
        module="sentence_encode",
        environment="peers" if backend == "torch" else "backends",
        settings={
            "model": str(model_folder("minilm")),
            "backend": backend,
            "precision": precision,
            "batch_size": 32,
            "scratch": str(exports()),
            "calibration": str((quantised_on or calibration_rows()).path),
        },
    )


def pipeline(
    batch_size: int, *, task: str = "feature-extraction", model: str = "minilm", column: str = "text"
) -> Entrant:
    folder = model_folder(model)
    return Entrant(
        name=f"transformers pipeline, batch {batch_size}",
        module="transformers_pipeline",
        environment="peers",
        settings={
            "model": str(folder),
            "task": task,
            "column": column,
            "batch_size": batch_size,
            "max_length": read_spec(folder).max_length,
        },
    )


def transformers_images(rows: RowSet, *, grid_rows: int) -> Entrant:
    """transformers' processor and model in a loop, the best of its grid over the first of these rows."""
    return Entrant(
        name="transformers loop",
        module="transformers_images",
        environment="peers",
        settings={
            "model": str(model_folder("fashion-resnet")),
            "grid_input": str(rows.path),
            "grid_rows": grid_rows,
        },
    )


def image_pipeline(batch_size: int) -> Entrant:
    return pipeline(batch_size, task="image-classification", model="fashion-resnet", column="image")


def graph_of(model: str, runtime: str, precision: str) -> tuple[Path, str]:
    """The graph file that Tandem runs, and what makes it."""
    folder, variant = model_folder(model), f"{runtime}-{precision}"
    own = folder / "variants" / variant / ("model.onnx" if runtime == "onnx" else "model.xml")
    graph = folder / "model.onnx" if variant == "onnx-fp32" else own
    return graph, f"tandem model optimize {model} --runtime {runtime} --precision {precision} makes it"


def hand_loop(runtime: str, precision: str, rows: RowSet, *, model: str = "minilm", quick: bool = False) -> Entrant:
    """The loop over sorted batches, the best of its grid over these very rows, on the file that Tandem runs."""
    folder = model_folder(model)
    spec = read_spec(folder)
    graph, made_by = graph_of(model, runtime, precision)
    return Entrant(
        name=f"hand loop, {runtime} {precision}",
        module="fixed_loop",
        environment="peers",
        settings={
            "model": str(folder),
            "graph": str(graph),
            "runtime": runtime,
            "max_length": spec.max_length,
            "grid_input": str(rows.path),
            "small_grid": quick,
            **({"labels": list(spec.labels)} if spec.labels else {}),
        },
        needs=(graph, made_by),
    )


def image_loop(runtime: str, rows: RowSet, *, model: str, grid_rows: int) -> Entrant:
    """The loop over images, the best of its grid over the first of these rows, on the file that Tandem runs."""
    graph, made_by = graph_of(model, runtime, "fp32")
    return Entrant(
        name=f"hand loop, {runtime} fp32",
        module="image_loop",
        environment="peers",
        settings={
            "model": str(model_folder(model)),
            "graph": str(graph),
            "runtime": runtime,
            "grid_input": str(rows.path),
            "grid_rows": grid_rows,
        },
        needs=(graph, made_by),
    )


def infinity(engine: str) -> Entrant:
    """Infinity's engine at its defaults; on optimum with the ONNX file that sentence-transformers exports."""
    scratch = exports()
    graph = scratch / "sentence-transformers-onnx-fp32" / "onnx" / "model.onnx"
    return Entrant(
        name=f"Infinity, {engine}",
        module="infinity_engine",
        environment="infinity",
        settings={
            "model": str(model_folder("minilm")),
            "engine": engine,
            "batch_size": 32,
            "scratch": str(scratch),
            "graph": str(graph),
        },
        needs=(graph, "the side sentence-transformers, onnx fp32 makes it") if engine == "optimum" else None,
    )


def exports() -> Path:
    """Where the peers keep the files that they make of a model."""
    folder = bench_cache() / "exports"
    folder.mkdir(exist_ok=True)
    return folder


def ray_data(*, actors: int, threads: int) -> Entrant:
    return Entrant(
        name=f"Ray Data, {actors} actor{'s' * (actors > 1)} of {threads} thread{'s' * (threads > 1)}",
        module="ray_map_batches",
        environment="peers",
        settings={
            "model": str(model_folder("minilm")),
            "column": "text",
            "actors": actors,
            "threads": threads,
            "batch_size": 1024,
            "encode_batch": 32,
        },
    )

"""sentence-transformers' `encode`, on torch, ONNX or OpenVINO; it sorts by length itself.

Settings: `model` (folder), `backend`, `precision` (fp32, int8), `batch_size` (32 is its default), `scratch` (folder),
`calibration` (a Parquet file alone in its folder, column text).
int8 comes from its own exporters: ONNX dynamic quantisation for AVX-512 VNNI, OpenVINO static quantisation.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.peers.protocol import Job, Settings, serve
from benchmarks.peers.rows import read_rows, write_embeddings

#: Its own names of the files that its exporters write.
FILES = {
    ("onnx", "fp32"): "onnx/model.onnx",
    ("onnx", "int8"): "onnx/model_qint8_avx512_vnni.onnx",
    ("openvino", "fp32"): "openvino/openvino_model.xml",
    ("openvino", "int8"): "openvino/openvino_model_qint8_quantized.xml",
}


def load(settings: Settings) -> Job:
    """Load the model; the job encodes every row with its defaults, without a progress bar."""
    from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found,unused-ignore]

    file = FILES.get((settings["backend"], settings["precision"]))
    options: dict[str, Any] = {"model_kwargs": {"file_name": file}} if file else {}
    model = SentenceTransformer(settings["folder"], backend=settings["backend"], device="cpu", **options)

    def job(source: str, target: str) -> Mapping[str, Any]:
        ids, texts = read_rows(source, "text")
        vectors = model.encode(
            texts, batch_size=settings.get("batch_size", 32), show_progress_bar=False, normalize_embeddings=True
        )
        return write_embeddings(target, ids, vectors)

    return job


def choose(settings: Settings) -> Settings:
    """Export what the backend needs into a folder of its own, once."""
    backend, precision = settings["backend"], settings["precision"]
    if backend == "torch":
        return {**settings, "folder": settings["model"]}
    folder = Path(settings["scratch"]) / f"sentence-transformers-{backend}-{precision}"
    if not (folder / FILES[backend, precision]).is_file():
        export(settings["model"], folder, backend, precision, calibration=settings["calibration"])
    return {**settings, "folder": str(folder)}


def export(model: str, folder: Path, backend: str, precision: str, *, calibration: str) -> None:
    """By its own documented calls."""
    from sentence_transformers import SentenceTransformer

    shutil.rmtree(folder, ignore_errors=True)
    ignored = shutil.ignore_patterns("*.onnx", "*.xml", "*.bin", "variants", "tandem.yaml", "digest.json", "model.yaml")
    shutil.copytree(model, folder, ignore=ignored)
    for file in folder.rglob("*"):
        file.chmod(0o755 if file.is_dir() else 0o644)
    loaded = SentenceTransformer(str(folder), backend=backend, device="cpu", model_kwargs={"export": True})
    loaded.save_pretrained(str(folder))
    if precision == "int8" and backend == "onnx":
        from sentence_transformers import export_dynamic_quantized_onnx_model

        export_dynamic_quantized_onnx_model(loaded, "avx512_vnni", str(folder))
    if precision == "int8" and backend == "openvino":
        quantize_openvino(loaded, folder, calibration)


def quantize_openvino(loaded: Any, folder: Path, calibration: str) -> None:
    """Its static quantisation with its own settings, on our rows: its default ones (SST-2) lie on a hub."""
    from sentence_transformers import export_static_quantized_openvino_model

    rows = {"dataset_name": str(Path(calibration).parent), "dataset_config_name": "default", "dataset_split": "train"}
    export_static_quantized_openvino_model(loaded, None, str(folder), column_name="text", **rows)


if __name__ == "__main__":
    serve(
        load,
        packages=["sentence-transformers", "transformers", "torch", "onnxruntime", "openvino", "optimum-intel"],
        choose=choose,
    )

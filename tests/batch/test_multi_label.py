"""A text model with several labels at once, from a Hugging Face folder to the rows of a job."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
import torch
import transformers

from batch.run import run_job
from models.add import add_model
from tests.batch.places import Folder, put_table, read_output
from tests.models import tiny_folders as tiny
from tests.models.tiny_folders import LIMIT, TEXTS

LABELS = ["economy", "sport", "culture", "science"]


def test_every_label_at_or_above_the_threshold_is_given(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "bentoml"))
    monkeypatch.setenv("BENTOML_DO_NOT_TRACK", "True")
    source = tmp_path / "source"
    tiny.save_tokenizer(source)
    names = dict(enumerate(LABELS))
    config = tiny.distilbert(
        problem_type="multi_label_classification", id2label=names, label2id={v: k for k, v in names.items()}
    )
    network = tiny.save_network(source, transformers.DistilBertForSequenceClassification(config))
    tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    inputs = tokenizer(TEXTS, return_tensors="pt", padding=True, truncation=True, max_length=LIMIT)
    with torch.no_grad():
        logits = network(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits
    expected = [dict(zip(LABELS, row, strict=True)) for row in torch.sigmoid(logits).tolist()]
    # The case is worth nothing where every label is given, or none, or always one.
    assert len({sum(score >= 0.5 for score in row.values()) for row in expected}) > 1
    assert all(abs(score - 0.5) > 1e-3 for row in expected for score in row.values())

    tag = add_model(source, name="several").tag
    put_table(folder, "in/a.parquet", pa.table({"text": [*TEXTS, None]}))
    manifest = run_job({"model": tag, "input": folder.url + "in/", "output": folder.url + "out/"})
    assert (manifest["rows"], manifest["errors"]) == (len(TEXTS) + 1, {"NullValue": 1})
    table = read_output(folder)
    assert table.schema.field("labels").type == pa.list_(pa.string())
    *rows, last = table.to_pylist()
    assert last["labels"] is None
    for row, scores in zip(rows, expected, strict=True):
        assert row["labels"] == [name for name in LABELS if scores[name] >= 0.5]
        assert dict(row["scores"]) == pytest.approx(scores, abs=1e-4)

"""tokenizer.json alone says what transformers makes of a folder's files together."""

from __future__ import annotations

import json
from pathlib import Path

import transformers

from models.settle_tokenizer import settle_tokenizer
from models.tokenizer import FolderTokenizer
from tests.models import tiny_folders as tiny
from tests.models.tiny_folders import LIMIT, edit_json


def test_a_vocabulary_alone_becomes_a_tokenizer(tmp_path: Path) -> None:
    tiny.make_bert_classifier(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).unlink()
    (tmp_path / "vocab.txt").write_text("\n".join(tiny.VOCABULARY), encoding="utf-8")
    tiny.write_json(tmp_path / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    expected = transformers.AutoTokenizer.from_pretrained(tmp_path)("The CAT of über")["input_ids"]
    settle_tokenizer(tmp_path)
    reader = FolderTokenizer(tmp_path, max_length=LIMIT, on_long="truncate")
    assert [encoding.ids for encoding in reader.encode(["The CAT of über"])] == [expected]
    assert tiny.VOCABULARY.index("cat") in expected


def test_a_padding_token_that_only_transformers_knows_is_written_down(tmp_path: Path) -> None:
    """RoBERTa's is `<pad>` by its class; its positions begin behind that id, so another would change answers."""
    vocabulary = {token: i for i, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>", "c", "a", "t", "at"])}
    tiny.write_json(tmp_path / "vocab.json", vocabulary)
    (tmp_path / "merges.txt").write_text("#version: 0.2\na t\n")
    tiny.write_json(tmp_path / "tokenizer_config.json", {"tokenizer_class": "RobertaTokenizer"})
    tiny.write_json(tmp_path / "config.json", {"model_type": "roberta"})
    settle_tokenizer(tmp_path)
    reader = FolderTokenizer(tmp_path, max_length=LIMIT, on_long="truncate")
    assert (reader.pad_id, reader.encode(["cat"])[0].ids) == (1, [0, 5, 8, 2])


def test_a_tokenizer_that_other_files_overrule_is_written_anew(tmp_path: Path) -> None:
    """tokenizer_config.json may ask for another lower-casing, and transformers follows it."""
    tiny.make_bert_classifier(tmp_path)
    before = (tmp_path / "tokenizer.json").read_text(encoding="utf-8")
    settle_tokenizer(tmp_path)
    assert (tmp_path / "tokenizer.json").read_text(encoding="utf-8") == before
    tokenizer = json.loads(before)
    tokenizer["normalizer"]["lowercase"] = False
    tiny.write_json(tmp_path / "tokenizer.json", tokenizer)
    edit_json(tmp_path / "tokenizer_config.json", tokenizer_class="BertTokenizer", do_lower_case=True)
    settle_tokenizer(tmp_path)
    reader = FolderTokenizer(tmp_path, max_length=LIMIT, on_long="truncate")
    words = ["[CLS]", "the", "cat", "[SEP]"]
    assert reader.encode(["The CAT"])[0].ids == [tiny.VOCABULARY.index(word) for word in words]

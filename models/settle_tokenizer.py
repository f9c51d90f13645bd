"""Sees to it that a folder's tokenizer.json alone says what transformers' tokenizer would."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from models.errors import SpecInvalid
from models.networks.hugging_face import first_line, quiet_transformers
from models.tokenizer import TOKENIZER_FILE, FolderTokenizer, find_pad_id, read_json, read_tokenizer

#: Case, accents, spaces, numbers, other scripts, characters outside the vocabulary, special tokens, nothing.
PROBES = (
    "The quick brown fox didn't jump 1,234.5 times over <lazy> dogs!",
    "  Ärzte  aßen\tCrème-brûlée\n\nin ŁÓDŹ…  ",
    "東京は日本の首都です。 Привет, мир! مرحبا 😀👩‍👧",
    "[CLS] a [MASK] <s> </s> <pad>",
    "x" * 300,
    "",
)


def settle_tokenizer(folder: Path) -> None:
    """Write tokenizer.json anew where there is none, or where it does not say what the folder's other files say.

    A folder may hold a vocabulary only, or ask in tokenizer_config.json for another lower-casing than tokenizer.json
    has, or leave its padding token to its tokenizer's class. transformers knows all that; models that run without it
    read the folder's files alone.

    Raises:
        SpecInvalid: there is no tokenizer, or none that has a tokenizer.json.
    """
    tokenizer = load_with_transformers(folder)
    if tokenizer is None:
        return
    with quiet_transformers():  # which would warn of long probes
        expected = [list(tokenizer(probe)["input_ids"]) for probe in PROBES]
    if not (folder / TOKENIZER_FILE).is_file() or probe_ids(folder) != expected:
        write_tokenizer(tokenizer, folder, expected)
    if tokenizer.pad_token is not None and find_pad_id(read_tokenizer(folder), folder) != tokenizer.pad_token_id:
        path = folder / "tokenizer_config.json"
        settings = read_json(path) | {"pad_token": str(tokenizer.pad_token)}
        path.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        path.chmod(0o644)


def write_tokenizer(tokenizer: Any, folder: Path, expected: list[list[int]]) -> None:
    """Write tokenizer.json as transformers has the tokenizer, and see that it says the same there.

    Raises:
        SpecInvalid: it has no such form, or loses something in it.
    """
    path = folder / TOKENIZER_FILE
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise SpecInvalid(
            str(folder),
            f"its tokenizer, {type(tokenizer).__name__}, exists in Python only and has no {TOKENIZER_FILE}",
            remedy="Only tokenizers of the library `tokenizers` run outside transformers.",
        )
    backend.save(str(path))
    path.chmod(0o644)
    if (found := probe_ids(folder)) != expected:
        probe = next(i for i in range(len(PROBES)) if found[i] != expected[i])
        raise SpecInvalid(
            str(folder),
            f"{TOKENIZER_FILE} gives {found[probe][:8]} for {PROBES[probe][:30]!r}, "
            f"and transformers gives {expected[probe][:8]}",
            remedy="Load it with AutoTokenizer and save_pretrained it into the folder.",
        )


def probe_ids(folder: Path) -> list[list[int]]:
    """The ids that the folder's tokenizer.json gives, without what sentence-transformers does to a text before."""
    reader = FolderTokenizer(folder, max_length=None, on_long="truncate")
    return [encoding.ids for encoding in reader.tokenizer.encode_batch_fast(list(PROBES))]


def load_with_transformers(folder: Path) -> Any:
    """transformers' tokenizer of the folder; None where only the folder's tokenizer.json could be read.

    Raises:
        SpecInvalid: neither can be.
    """
    from transformers import AutoTokenizer

    with quiet_transformers():
        try:
            return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except Exception as error:  # OSError, ValueError, ImportError, KeyError, ... by the class of tokenizer
            if (folder / TOKENIZER_FILE).is_file():
                return None
            if list(folder.glob("*.model")) and find_spec("sentencepiece") is None:
                raise SpecInvalid(
                    str(folder),
                    f"has a SentencePiece vocabulary and no {TOKENIZER_FILE}; converting it needs sentencepiece",
                    remedy="pip install sentencepiece, then add the model again.",
                ) from None
            raise SpecInvalid(
                str(folder),
                f"has no {TOKENIZER_FILE}, and transformers cannot make one ({first_line(error)})",
                remedy="Where it can be loaded: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER).",
            ) from None

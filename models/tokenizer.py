"""A folder's own tokenizer: text in, token ids out, as the folder's files say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Encoding, Tokenizer

from models.errors import SpecInvalid
from models.model import OnLong

TOKENIZER_FILE = "tokenizer.json"
#: Texts longer than this are looked at from their beginning, as far as needed; so many windows beyond the kept one do.
LONG_CHARACTERS, ENOUGH_WINDOWS = 1 << 16, 3


class FolderTokenizer:
    """Texts to windows of token ids, each no longer than the model takes.

    Special tokens, normalisation and lower-casing are those of `tokenizer.json`. A folder of sentence-transformers (it
    has `modules.json`) is followed in what that library does before: it strips the text, lower-cases it where
    `sentence_bert_config.json` says so, and puts the default prompt in front. Texts are not padded here.

    Attributes:
        pad_id: what shorter rows of a micro-batch are filled up with.
        has_types: whether any token of a single text has a type other than 0.
    """

    def __init__(self, folder: Path, *, max_length: int | None, on_long: OnLong) -> None:
        """Read the folder's tokenizer.

        Raises:
            SpecInvalid: `tokenizer.json` is missing or damaged, or `max_length` leaves no room for text.
        """
        self.max_length, self.on_long = max_length, on_long
        self.keeps_beginning = False
        self.tokenizer = read_tokenizer(folder)
        settings = read_json(folder / "tokenizer_config.json")
        self.pad_id = find_pad_id(self.tokenizer, folder)
        self.strip, self.lower, self.prompt = read_sentence_settings(folder)
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self.has_types = any(self.tokenizer.encode("a b").type_ids)
        if max_length is None or on_long == "error":
            return
        if (special := self.tokenizer.num_special_tokens_to_add(is_pair=False)) >= max_length:
            raise SpecInvalid(
                str(folder), f"max_length is {max_length}, but {special} special tokens surround every text"
            )
        from_left = on_long == "truncate" and settings.get("truncation_side") == "left"
        self.tokenizer.enable_truncation(max_length, direction="left" if from_left else "right")
        self.keeps_beginning = on_long == "truncate" and not from_left

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """Tokenise all texts at once, outside the GIL; a long text's further windows are its `overflowing`.

        The library takes Python strings and gives Python lists, so Arrow's buffers are not read in place here: of
        MiniLM's time on a CPU that is about a hundredth.
        """
        if self.strip:
            texts = [text.strip() for text in texts]
        if self.prompt:
            texts = [self.prompt + text for text in texts]
        if self.lower:
            texts = [text.lower() for text in texts]
        if self.keeps_beginning:
            texts = [text if len(text) <= LONG_CHARACTERS else self.beginning(text) for text in texts]
        encodings: list[Encoding] = self.tokenizer.encode_batch_fast(texts)
        return encodings

    def beginning(self, text: str) -> str:
        """As much of a very long text as its kept tokens come from, and more.

        What a token is depends on what stands near it: a beginning of several times as many tokens as are kept has the
        same first ones as the whole. Tokenising 50 MB to keep 512 tokens took 6 GB and half a minute.
        """
        size = LONG_CHARACTERS
        while size < len(text):
            if len(self.tokenizer.encode(text[:size]).overflowing) >= ENOUGH_WINDOWS:
                return text[:size]
            size *= 4
        return text


def read_tokenizer(folder: Path) -> Tokenizer:
    """Load `tokenizer.json`.

    Raises:
        SpecInvalid: it is missing or damaged.
    """
    path = folder / TOKENIZER_FILE
    if not path.is_file():
        raise SpecInvalid(
            str(folder),
            f"has no {TOKENIZER_FILE}",
            remedy="Write one with: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER).",
        )
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise SpecInvalid(str(path), f"is no tokenizer ({str(error)[:120]})") from None


def find_pad_id(tokenizer: Tokenizer, folder: Path) -> int:
    """The padding token's id: as named in the tokenizer's files, else in config.json, else 0."""
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        token = read_json(folder / name).get("pad_token")
        token = token.get("content") if isinstance(token, dict) else token
        if isinstance(token, str) and (pad_id := tokenizer.token_to_id(token)) is not None:
            return int(pad_id)
    if tokenizer.padding:
        return int(tokenizer.padding["pad_id"])
    pad_id = read_json(folder / "config.json").get("pad_token_id")
    return pad_id if isinstance(pad_id, int) and pad_id >= 0 else 0


def read_sentence_settings(folder: Path) -> tuple[bool, bool, str]:
    """What sentence-transformers does to a text first: does it strip, does it lower-case, and the default prompt."""
    if not (folder / "modules.json").is_file():
        return False, False, ""
    lower = bool(read_json(folder / "sentence_bert_config.json").get("do_lower_case"))
    settings = read_json(folder / "config_sentence_transformers.json")
    prompts, name = settings.get("prompts"), settings.get("default_prompt_name")
    return True, lower, str((prompts or {}).get(name, "")) if name else ""


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object out of the folder; an empty one where there is no such file.

    Raises:
        SpecInvalid: the file is no JSON object.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise SpecInvalid(str(path), f"is not JSON ({str(error)[:120]})") from None
    if not isinstance(content, dict):
        raise SpecInvalid(str(path), f"expected a JSON object, found {type(content).__name__}")
    return content

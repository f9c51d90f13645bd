"""Hugging Face folders with small random networks, as `save_pretrained` writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = ["the", "a", "of", "news", "cat", "dog", "bank", "money", "film", "game", "match", "team", "market", "phone"]
WORDS += ["##s", "##ing", "über", "東", "京"]
LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]
VOCABULARY = ["[PAD]", "<pad>", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *LETTERS, *(f"##{c}" for c in LETTERS)]
CLS, SEP = 3, 4
LIMIT = 24

TEXTS = [
    "the cat",
    "a dog of the bank wins the match game while markets fall",
    "",
    "news of 東京 and the über team",
    "the market of money and the film of a cat and the game of a dog and the phone of a team and the bank",
]


def save_tokenizer(folder: Path, *, pad: str = "[PAD]", **settings: Any) -> None:
    """A WordPiece tokenizer with [CLS] and [SEP], as transformers saves it."""
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", SEP), ("[CLS]", CLS))
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        pad_token=pad,
        **{"model_max_length": LIMIT} | settings,
    ).save_pretrained(folder)


def save_network(folder: Path, network: Any) -> Any:
    """Weights large enough that padding, pooling or a wrong token would show."""
    torch.manual_seed(7)
    for parameter in network.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, 0.0, 0.3)
    network.eval().save_pretrained(folder)
    return network


def small(**settings: Any) -> dict[str, Any]:
    """The settings that most configurations share."""
    return {
        "vocab_size": len(VOCABULARY),
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 64,
        "pad_token_id": 0,
    } | settings


def make_bert_classifier(folder: Path, **settings: Any) -> Any:
    """A text classifier of three labels."""
    labels = {0: "news", 1: "sport", 2: "film"}
    config = transformers.BertConfig(**small(id2label=labels, label2id={v: k for k, v in labels.items()}, **settings))
    save_tokenizer(folder)
    return save_network(folder, transformers.BertForSequenceClassification(config))


def make_roberta_embedder(folder: Path) -> Any:
    """A text encoder whose positions begin behind its padding token, 1; nothing says how it is pooled."""
    config = transformers.RobertaConfig(**small(pad_token_id=1, type_vocab_size=1, max_position_embeddings=LIMIT + 2))
    save_tokenizer(folder, pad="<pad>", model_max_length=10**30)
    return save_network(folder, transformers.RobertaModel(config, add_pooling_layer=False))


def make_sentence_transformer(folder: Path) -> Any:
    """A folder of sentence-transformers: cls and mean joined, a dense layer, normalised, lower-cased, with a prompt."""
    save_tokenizer(folder)
    network = save_network(folder, transformers.DistilBertModel(distilbert()))
    kinds = ["Transformer", "Pooling", "Dense", "Normalize"]
    steps = [
        {"idx": i, "name": str(i), "path": f"{i}_{kind}" if i else "", "type": f"sentence_transformers.models.{kind}"}
        for i, kind in enumerate(kinds)
    ]
    write_json(folder / "modules.json", steps)
    write_json(
        folder / "1_Pooling/config.json",
        {"word_embedding_dimension": 16, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True},
    )
    dense = {"in_features": 32, "out_features": 8, "bias": True}
    write_json(folder / "2_Dense/config.json", dense | {"activation_function": "torch.nn.modules.activation.Tanh"})
    linear = torch.nn.Linear(32, 8)
    save_file(
        {f"linear.{name}": w.contiguous() for name, w in linear.state_dict().items()},
        folder / "2_Dense/model.safetensors",
    )
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 12, "do_lower_case": True})
    write_json(
        folder / "config_sentence_transformers.json",
        {"prompts": {"query": "news of ", "passage": "a "}, "default_prompt_name": "query"},
    )
    return network, linear


def distilbert(**settings: Any) -> transformers.DistilBertConfig:
    return transformers.DistilBertConfig(
        vocab_size=len(VOCABULARY), dim=16, n_layers=1, n_heads=2, hidden_dim=32, max_position_embeddings=64, **settings
    )


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def edit_json(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file; None takes one out."""
    content = json.loads(path.read_text(encoding="utf-8")) | changes
    write_json(path, {key: value for key, value in content.items() if value is not None})

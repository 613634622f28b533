"""Small checkpoints in the layouts of published sentence-transformers models.

Their weights come from numpy's seeds and so never change; ``sentences.json`` beside this file
holds the vectors that sentence-transformers itself gives for TEXTS.  To write it anew, install
sentence-transformers beside the project and run ``python -m tests.checkpoints.sentences``.
"""

import json
import tempfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    GPT2Config,
    GPT2Model,
    MPNetConfig,
    MPNetModel,
    Qwen2Config,
    Qwen2Model,
    RobertaConfig,
    RobertaModel,
    T5Config,
    T5EncoderModel,
)

from tests.checkpoints.text_tokenizers import write_words

EXPECTED = Path(__file__).with_suffix(".json")
TEXTS = [
    "the quick brown fox jumps over a lazy dog",
    "seven wizards brew strong coffee near quiet rivers every morning " * 3,
    "coffee",
    "The LAZY dog",
]
PROMPTED = "prompted"  # a second call in EXPECTED: each text behind the prompt "passage"
WIDTH = 16
LIMIT = 24  # tokens; the second text is longer
_LEGACY = "sentence_transformers.models."

_BERT: dict[str, Any] = {
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
}
_NETWORKS: Mapping[str, tuple[Any, Any, dict[str, Any]]] = {
    "bert": (BertModel, BertConfig, _BERT),
    "roberta": (RobertaModel, RobertaConfig, _BERT),
    "mpnet": (MPNetModel, MPNetConfig, _BERT),
    "distilbert": (
        DistilBertModel,
        DistilBertConfig,
        {
            "dim": WIDTH,
            "n_layers": 2,
            "n_heads": 2,
            "hidden_dim": 32,
            "max_position_embeddings": 40,
        },
    ),
    "gpt2": (
        GPT2Model,
        GPT2Config,
        {"n_embd": WIDTH, "n_layer": 2, "n_head": 2, "n_positions": 40, "pad_token_id": 0},
    ),
    "qwen2": (
        Qwen2Model,
        Qwen2Config,
        {**_BERT, "num_key_value_heads": 1, "max_position_embeddings": 40},
    ),
    "t5": (
        T5EncoderModel,
        T5Config,
        {"d_model": WIDTH, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2},
    ),
}


class Layout(NamedTuple):
    """What a model is made of.  *pooling* are keys of 1_Pooling/config.json; *behind* are modules
    with their settings."""

    network: str
    pooling: tuple[str, ...] | str
    behind: tuple[tuple[str, dict[str, Any]], ...] = ()
    lower_case: bool = False
    prompts: Mapping[str, str] | None = None
    default_prompt: str | None = None


_NORMALIZE: tuple[str, dict[str, Any]] = ("Normalize", {})
_MEAN = ("mean_tokens",)


def _dense(activation: str, *, wide: int = WIDTH, **settings: Any) -> tuple[str, dict[str, Any]]:
    sizes = {"in_features": wide, "out_features": 12, "bias": True}
    return "Dense", sizes | {"activation_function": f"torch.nn.modules.{activation}"} | settings


LAYOUTS: Mapping[str, Layout] = {
    "all-MiniLM-L6-v2": Layout("bert", _MEAN, (_NORMALIZE,)),
    "all-mpnet-base-v2": Layout("mpnet", _MEAN, (_NORMALIZE,)),
    "stsb-roberta-base-v2": Layout("roberta", _MEAN),
    "bge-base-en-v1.5": Layout("bert", ("cls_token",), (_NORMALIZE,), lower_case=True),
    "LaBSE": Layout("bert", ("cls_token",), (_dense("activation.Tanh"), _NORMALIZE)),
    "distiluse-base-multilingual-cased": Layout("distilbert", _MEAN, (_dense("activation.Tanh"),)),
    "sentence-t5-base": Layout("t5", _MEAN, (_dense("linear.Identity", bias=False), _NORMALIZE)),
    "SGPT-125M": Layout("gpt2", ("weightedmean_tokens",)),
    "Qwen3-Embedding": Layout(
        "qwen2",
        ("lasttoken",),
        (_NORMALIZE,),
        prompts={"query": "seven dog ", "passage": ""},
    ),
    "e5 with prompts": Layout(
        "bert",
        _MEAN,
        (_NORMALIZE,),
        prompts={"query": "coffee over ", "passage": "brown "},
        default_prompt="query",
    ),
    "mean with max": Layout("bert", ("mean_tokens", "max_tokens")),
    "four poolings together": Layout(
        "bert",
        ("cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens"),
        (_dense("activation.GELU", wide=4 * WIDTH),),
    ),
    "mean over the root of the length": Layout("mpnet", ("mean_sqrt_len_tokens",)),
    "a norm of its own": Layout("bert", _MEAN, (("LayerNorm", {"dimension": WIDTH}),)),
    "a residual layer": Layout("bert", _MEAN, (_dense("activation.ReLU", use_residual=True),)),
    "as version 5 writes it": Layout("bert", "max", (("Dropout", {"dropout": 0.1}), _NORMALIZE)),
}


def build(folder: Path, layout: Layout) -> None:
    """Write the checkpoint."""
    kind, config, sizes = _NETWORKS[layout.network]
    network = kind(config(vocab_size=write_words(folder, LIMIT), **sizes))
    _fill(network)
    network.save_pretrained(folder)
    modules = [("Transformer", ""), ("Pooling", "1_Pooling")]
    said: dict[str, Any] = {"word_embedding_dimension": WIDTH}
    if isinstance(layout.pooling, str):
        said = {"embedding_dimension": WIDTH, "pooling_mode": layout.pooling}
    else:
        kinds = (
            "cls_token",
            "mean_tokens",
            "max_tokens",
            "mean_sqrt_len_tokens",
            "weightedmean_tokens",
            "lasttoken",
        )
        said |= {f"pooling_mode_{key}": key in layout.pooling for key in kinds}
    _write(folder / "1_Pooling" / "config.json", said)
    for number, (name, settings) in enumerate(layout.behind, start=2):
        modules.append((name, f"{number}_{name}"))
        _write_module(folder / f"{number}_{name}", name, settings)
    _write(
        folder / "modules.json",
        [
            {"idx": number, "name": str(number), "path": path, "type": _LEGACY + name}
            for number, (name, path) in enumerate(modules)
        ],
    )
    _write(
        folder / "sentence_bert_config.json",
        {"max_seq_length": LIMIT, "do_lower_case": layout.lower_case},
    )
    if layout.prompts is not None:
        _write(
            folder / "config_sentence_transformers.json",
            {"prompts": layout.prompts, "default_prompt_name": layout.default_prompt},
        )


def _write_module(folder: Path, kind: str, settings: Mapping[str, Any]) -> None:
    _write(folder / "config.json", settings)
    numbers = np.random.default_rng(7)
    if kind == "Dense":
        shape = settings["out_features"], settings["in_features"]
        weights = {"linear.weight": _drawn(numbers, *shape)}
        if settings["bias"]:
            weights["linear.bias"] = _drawn(numbers, shape[0])
        if settings.get("use_residual"):
            weights["residual.weight"] = _drawn(numbers, *shape)
        save_file(weights, folder / "model.safetensors")
    elif kind == "LayerNorm":
        names = ("norm.weight", "norm.bias")
        weights = {name: _drawn(numbers, settings["dimension"]) for name in names}
        save_file(weights, folder / "model.safetensors")


def _drawn(numbers: np.random.Generator, *shape: int) -> torch.Tensor:
    return torch.from_numpy(numbers.normal(0, 0.4, shape).astype(np.float32))


def _fill(network: torch.nn.Module) -> None:
    numbers = np.random.default_rng(1)
    with torch.no_grad():
        for _, parameter in sorted(network.named_parameters()):
            parameter.copy_(_drawn(numbers, *parameter.shape))


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value))


def _vectors_of_theirs() -> dict[str, Any]:
    theirs = import_module("sentence_transformers")  # not among the tests' packages

    found: dict[str, Any] = {}
    for name, layout in LAYOUTS.items():
        with tempfile.TemporaryDirectory() as folder:
            build(Path(folder), layout)
            model = theirs.SentenceTransformer(folder, device="cpu")
            found[name] = model.encode(TEXTS).round(6).tolist()
            if layout.prompts:
                found[f"{name}, {PROMPTED}"] = (
                    model.encode(TEXTS, prompt_name="passage").round(6).tolist()
                )
    return found


if __name__ == "__main__":
    EXPECTED.write_text(json.dumps(_vectors_of_theirs(), indent=None) + "\n")

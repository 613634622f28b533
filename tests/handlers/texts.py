"""Networks for texts, loaded as an archive has them, and transformers' own answers."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from transformers import pipeline

from tests.checkpoints import text as checkpoints
from tests.handlers.loaded import FakeContext, Loaded
from text_handler import TextHandler

Folders = Callable[[str], Path]
EQUAL = 1e-5  # of a score
TEXTS = [
    "the quick brown fox",
    "Coffee, unknown to Zoë.",
    "a lazy dog while seven wizards brew strong coffee near quiet rivers",
    "jumps",
    "every morning the quick brown fox jumps over a lazy dog",
]
BUILDERS: dict[str, Callable[[Path], None]] = {
    "classifier": checkpoints.build_classifier,
    "tagger": checkpoints.build_tagger,
    "masked": checkpoints.build_masked,
    "entailment": checkpoints.build_entailment,
    "ranker": checkpoints.build_ranker,
    "gpt2": checkpoints.build_gpt2,
    "chat": checkpoints.build_chat,
    "llama": checkpoints.build_llama,
    "bart": checkpoints.build_bart,
    "t5": checkpoints.build_t5,
    "many": partial(checkpoints.build_classifier, problem_type="multi_label_classification"),
    "number": partial(checkpoints.build_classifier, problem_type="regression"),
    "one": partial(checkpoints.build_classifier, id2label={0: "spam"}),
}


def folders(root: Path) -> Folders:
    """Gives a checkpoint's folder by its name in BUILDERS; built once."""

    def folder(name: str) -> Path:
        if not (root / name).exists():
            BUILDERS[name](root / name)
        return root / name

    return folder


def load(
    folder: Path, task: str, *, config: dict[str, Any] | None = None, **options: Any
) -> Loaded:
    given = {"task": task} | options
    settings = {"options": given, "warmup_iterations": 0, "max_batch_size": 2, "workers": 2}
    return Loaded(TextHandler(), FakeContext(folder, settings | (config or {})))


def theirs(task: str, folder: Path, **how: Any) -> Any:
    """Return transformers' own pipeline, in fp32 on the CPU."""
    build: Any = pipeline  # its types know each task by its own name
    return build(task, model=str(folder), device="cpu", dtype=torch.float32, **how)


def with_parameters(texts: Sequence[str], **parameters: Any) -> list[dict[str, Any]]:
    return [{"text": text, "parameters": parameters} for text in texts]


def passes(loaded: Loaded, *values: Any) -> list[int]:
    """Return how many shared the pass of each of *values*."""
    header, _ = loaded.job(*[msgspec.json.encode(value) for value in values])
    return [item.forward_pass for item in header.items]


def errors(loaded: Loaded, *values: Any) -> list[str | None]:
    header, _ = loaded.job(*[msgspec.json.encode(value) for value in values])
    assert {item.status for item in header.items} <= {200, 400}
    return [item.error for item in header.items]


def same(ours: Any, others: Any, within: float = EQUAL) -> bool:
    """Return whether both say the same, their numbers *within* a distance."""
    if isinstance(ours, float):
        return ours == pytest.approx(others, abs=within)
    if isinstance(ours, dict):
        return ours.keys() == others.keys() and all(
            same(ours[key], others[key], within) for key in ours
        )
    if isinstance(ours, list):
        return len(ours) == len(others) and all(
            same(one, other, within) for one, other in zip(ours, others, strict=True)
        )
    return bool(ours == others)

"""SpeechSynthesisHandler with a text stage: BART rewrites, a voice speaks."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, BartForConditionalGeneration

from handler_kit.errors import LoadError
from tests.checkpoints import bart, vits
from tests.handlers.families import check_batch_is_each_alone, load_family
from tests.handlers.loaded import Loaded
from tests.handlers.speaking import farthest, refusal, say

TEXT = "the cat sat on the mat"
STAGE = {"folder": "text", "max_new_tokens": 20}
GERMAN = {"languages": ["de"]}  # nothing is normalised


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("voice")
    vits.build(folder)
    bart.build(folder / "text")
    return folder


@pytest.fixture(scope="module")
def rewriter(folder: Path) -> Loaded:
    return load_family(folder, text_stage=STAGE, **GERMAN)


@pytest.fixture(scope="module")
def plain(folder: Path) -> Loaded:
    return load_family(folder, **GERMAN)


@torch.inference_mode()
def by_transformers(folder: Path, text: str) -> str:
    model: Any = BartForConditionalGeneration.from_pretrained(folder / "text")
    tokenizer: Any = AutoTokenizer.from_pretrained(folder / "text")
    tokens = model.generate(**tokenizer(text, return_tensors="pt"), max_new_tokens=20, num_beams=1)
    return str(tokenizer.decode(tokens[0], skip_special_tokens=True)).strip()


def test_the_voice_says_what_bart_writes(rewriter: Loaded, plain: Loaded, folder: Path) -> None:
    written = by_transformers(folder, TEXT)
    assert written != TEXT
    assert len(written) > 5
    assert farthest(say(rewriter, TEXT, seed=2), say(plain, written, seed=2)) < 1e-3


def test_a_batch_equals_each_utterance_alone(rewriter: Loaded) -> None:
    check_batch_is_each_alone(rewriter, {"text": TEXT}, {"text": "a dog"})


def test_a_text_that_is_too_long_for_it_is_refused(rewriter: Loaded) -> None:
    assert "64 can be rewritten" in refusal(rewriter, "a" * 100)
    assert "at most 5000 are allowed" in refusal(rewriter, "a " * 2501)


def test_a_text_stage_without_its_folder_does_not_load(folder: Path) -> None:
    with pytest.raises(LoadError, match="nowhere"):
        load_family(folder, text_stage={"folder": "nowhere"})

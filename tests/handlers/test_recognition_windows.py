"""Whisper in windows that are fitted to what it hears."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from handler_kit.wav import Samples
from speech_recognition_handler import SpeechRecognitionHandler
from tests.handlers.loaded import Loaded
from tests.handlers.recognising import RATE, answers, load

pytest_plugins = ["tests.handlers.recognition_fixtures"]

FRAMES_PER_SECOND = 100


@pytest.fixture(scope="module")
def fitted(whisper_folder: Path) -> Loaded:
    return load(SpeechRecognitionHandler(), whisper_folder, options={"windows": "fitted"})


@pytest.fixture
def heard(fitted: Loaded) -> Iterator[list[tuple[int, float]]]:
    """Of each of the encoder's passes, how many windows there were and how long, in seconds."""
    passes: list[tuple[int, float]] = []

    def note(_: object, given: tuple[torch.Tensor]) -> None:
        count, _, frames = given[0].shape
        passes.append((count, frames / FRAMES_PER_SECOND))

    hook = fitted.handler.model.register_forward_pre_hook(note)
    yield passes
    hook.remove()


def test_a_clip_is_heard_with_little_silence_and_understood_alike(
    fitted: Loaded, recogniser: Loaded, speech: Samples, heard: list[tuple[int, float]]
) -> None:
    (answer,), (wanted,) = answers(fitted, speech), answers(recogniser, speech)
    assert heard == [(1, 15.0)]
    assert answer["text"] == wanted["text"]


def test_windows_of_other_lengths_are_encoded_apart_and_decoded_together(
    fitted: Loaded, speech: Samples, heard: list[tuple[int, float]]
) -> None:
    clips = [speech, speech[: 5 * RATE], speech]
    together = answers(fitted, *clips)
    assert sorted(heard[:2]) == [(1, 10.0), (2, 15.0)]
    assert [each["text"] for each in together] == [
        answers(fitted, clip)[0]["text"] for clip in clips
    ]


def test_where_text_is_missing_at_the_end_a_whole_window_is_heard(
    fitted: Loaded, recogniser: Loaded, speech: Samples, heard: list[tuple[int, float]]
) -> None:
    trailing = np.concatenate([speech[: 5 * RATE], np.zeros(6 * RATE, np.float32)])
    (answer,), (wanted,) = answers(fitted, trailing), answers(recogniser, trailing)
    assert heard == [(1, 15.0), (1, 30.0)]
    assert answer["text"] == wanted["text"]

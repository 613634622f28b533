"""Whisper base, the recogniser for many languages, with its real weights.

espeak-ng speaks, as no package has recordings of people in these languages.  The languages are
two of those that Whisper base understands of a voice made of formants;
`python -m benchmarks.languages` tries twelve.
"""

import subprocess
from typing import Any

import jiwer
import numpy as np
import pytest
from transformers.models.whisper.english_normalizer import BasicTextNormalizer

from benchmarks.languages import SENTENCES, WORDS_PER_MINUTE
from handler_kit.wav import Samples, read_wav
from speech_recognition_handler import SpeechRecognitionHandler
from tests.handlers.loaded import Loaded
from tests.handlers.recognising import RATE, SPOKEN, answers, load
from tests.handlers.speaking import unpacked
from tests.needs import need_program

pytest_plugins = ["tests.handlers.recognition_fixtures"]

UNDERSTOOD = ("es", "it")
PAUSE = np.zeros(round(0.3 * RATE), np.float32)
normalize = BasicTextNormalizer()


@pytest.fixture(scope="module")
def whisper_base(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    folder = unpacked("whisper_base", tmp_path_factory.mktemp("whisper_base"))
    return load(SpeechRecognitionHandler(), folder, warmup_iterations=0)


@pytest.fixture(scope="module")
def spoken() -> list[Samples]:
    """A sentence in each of UNDERSTOOD."""
    program = need_program("espeak-ng")
    clips = []
    for language in UNDERSTOOD:
        voice, text = SENTENCES[language]
        command = [program, "-v", voice, "-s", str(WORDS_PER_MINUTE), "--stdout", text]
        wav = subprocess.run(command, capture_output=True, check=True).stdout
        clips.append(np.concatenate([PAUSE, read_wav(wav, RATE), PAUSE]))
    return clips


def errors(expected: str, answer: Any) -> float:
    return float(jiwer.wer(normalize(expected), normalize(answer["text"])))


def test_the_language_is_detected_and_transcribed(
    whisper_base: Loaded, spoken: list[Samples]
) -> None:
    heard = answers(whisper_base, *spoken)
    assert tuple(answer["language"] for answer in heard) == UNDERSTOOD
    for language, answer in zip(UNDERSTOOD, heard, strict=True):
        assert answer["language_probability"] > 0.8
        assert errors(SENTENCES[language][1], answer) <= 0.3


def test_speech_is_translated_to_english(whisper_base: Loaded, spoken: list[Samples]) -> None:
    (answer,) = answers(whisper_base, spoken[0], task="translate")
    assert answer["language"] == "es"
    assert "with our friends" in answer["text"].lower()


def test_speech_is_transcribed_with_word_times(whisper_base: Loaded, speech: Samples) -> None:
    (answer,) = answers(whisper_base, speech, word_timestamps=True)
    assert answer["language"] == "en"
    assert errors(SPOKEN, answer) <= 0.1
    words = [word for segment in answer["segments"] for word in segment["words"]]
    assert len(words) == len(answer["text"].split())
    times = [time for word in words for time in (word["start"], word["end"])]
    assert times == sorted(times)

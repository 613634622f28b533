"""SpeechRecognitionHandler with multilingual checkpoints: small ones that have learned nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handler_kit.wav import Samples
from speech_recognition_handler import SpeechRecognitionHandler
from tests.handlers.loaded import Loaded
from tests.handlers.recognising import (
    LANGUAGES,
    RATE,
    answers,
    load,
    refusal,
    silences,
    write_small_whisper,
)

pytest_plugins = ["tests.handlers.recognition_fixtures"]

ANY_TEXT: dict[str, Any] = {"logprob_threshold": None, "no_speech_threshold": None}


def clips(speech: Samples) -> list[Samples]:
    noises = silences(1.5)
    return [speech[:RATE], noises["noise"], noises["hum"], speech[3 * RATE : 6 * RATE]]


def test_each_clip_has_its_own_language(polyglot: Loaded, speech: Samples) -> None:
    together = answers(polyglot, *clips(speech), **ANY_TEXT)
    alone = [answers(polyglot, clip, **ANY_TEXT)[0] for clip in clips(speech)]
    for one, other in zip(together, alone, strict=True):
        assert one["language"] in LANGUAGES
        assert 1 / len(LANGUAGES) <= one["language_probability"] <= 1
        assert one["language"] == other["language"]
        assert one["language_probability"] == pytest.approx(other["language_probability"], abs=1e-3)
        assert one["text"] == other["text"]
        assert len(one["segments"]) == len(other["segments"])
    assert len({one["language"] for one in together}) > 1


def test_known_and_unknown_languages_go_together(polyglot: Loaded, speech: Samples) -> None:
    handler = polyglot.handler
    wanted: list[dict[str, Any]] = [{"language": "de"}, {}, {"language": "fr", "task": "translate"}]
    inputs = [handler.decode(speech[:RATE], one | ANY_TEXT) for one in wanted]
    (one_pass,) = handler.plan(inputs)
    found = handler.forward(one_pass.batch).transcripts
    assert [one.language for one in found][::2] == ["de", "fr"]
    assert [one.language_probability is None for one in found] == [True, False, True]


def test_a_task_and_a_language_change_what_is_said(polyglot: Loaded, speech: Samples) -> None:
    asked = [
        {"language": "de"},
        {"language": "de", "task": "translate"},
        {"language": "zh"},
    ]
    texts = [answers(polyglot, speech, **one, **ANY_TEXT)[0]["text"] for one in asked]
    assert len(set(texts)) == 3


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"beam_size": 3},
        {"temperature": 1.0},
        {"enable_timestamps": False},
        {"initial_prompt": "word " * 100},
        {"beam_size": 2, "initial_prompt": "hm"},
    ],
    ids=str,
)
def test_answers_are_well_formed(
    polyglot: Loaded, speech: Samples, parameters: dict[str, Any]
) -> None:
    for answer in answers(polyglot, *clips(speech), **parameters, **ANY_TEXT):
        assert set(answer) == {
            "text",
            "segments",
            "language",
            "language_probability",
            "confidence",
        }
        times = [segment[key] for segment in answer["segments"] for key in ("start", "end")]
        assert times == sorted(times)
        assert all(0 <= time <= 3 for time in times)
        assert all(0 < segment["confidence"] <= 1 for segment in answer["segments"])


def test_improbable_text_is_retried_at_higher_temperatures(
    polyglot: Loaded, speech: Samples
) -> None:
    one, same = (answers(polyglot, speech[:RATE], seed=5)[0] for _ in range(2))
    assert one == same


def test_an_unknown_language_is_refused(polyglot: Loaded) -> None:
    error = refusal(polyglot, np.zeros(16, np.float32), language="tlh")
    assert error == "language: 'tlh' is not one of the 8 language codes of this model"


def test_without_alignment_heads_words_have_no_times(polyglot: Loaded) -> None:
    error = refusal(polyglot, np.zeros(16, np.float32), word_timestamps=True)
    assert error == (
        "word_timestamps: this checkpoint does not determine the times of words: "
        "it has no alignment_heads"
    )


def test_no_audio_has_no_language(polyglot: Loaded) -> None:
    (answer,) = answers(polyglot, np.zeros(0, np.float32))
    assert answer["language"] is None


def test_describe_reports_what_the_model_supports(polyglot: Loaded) -> None:
    told = polyglot.describe()
    assert told["languages"] == sorted(LANGUAGES)
    assert told["tasks"] == ["transcribe", "translate"]
    assert told["word_timestamps"] is False


def test_a_small_english_checkpoint_is_english_only(tmp_path: Path) -> None:
    write_small_whisper(tmp_path)
    loaded = load(SpeechRecognitionHandler(), tmp_path)
    assert "only English" in refusal(loaded, np.zeros(16, np.float32), language="de")
    assert "cannot translate" in refusal(loaded, np.zeros(16, np.float32), task="translate")

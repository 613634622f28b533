"""SpeechRecognitionHandler with checkpoints beside Whisper: Wav2Vec2-CTC and Moonshine."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoTokenizer,
    MoonshineForConditionalGeneration,
    Wav2Vec2ForCTC,
    Wav2Vec2Processor,
)

from handler_kit.errors import LoadError
from handler_kit.wav import Samples, from_pcm, to_pcm
from recognition_kit.piecewise.ctc_words import Alphabet, phrases_of, spoken
from speech_recognition_handler import SpeechRecognitionHandler
from tests.checkpoints import moonshine, wav2vec2
from tests.handlers.loaded import Loaded
from tests.handlers.recognising import RATE, answers, load, refusal, wav_answer

BUILDERS: dict[str, Any] = {
    "masked": wav2vec2.build,
    "unmasked": lambda folder: wav2vec2.build(folder, masks=False),
    "moonshine": moonshine.build,
}


def sounds(seconds: float, seed: int = 0) -> Samples:
    """Something that changes all the time, as exact as 16 bits are."""
    noise = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    sweep = np.sin(2 * np.pi * (100 + 300 * time + 50 * seed) * time)
    loudness = 0.3 + 0.3 * np.sin(2 * np.pi * 3 * time)
    mixed = loudness * (sweep + 0.3 * noise.standard_normal(len(time)))
    return from_pcm(to_pcm((0.5 * mixed).astype(np.float32)))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folders = {name: tmp_path_factory.mktemp(name) for name in BUILDERS}
    for name, build in BUILDERS.items():
        build(folders[name])
    return folders


@pytest.fixture(scope="module")
def loaded(folders: dict[str, Path]) -> dict[str, Loaded]:
    return {
        name: load(SpeechRecognitionHandler(), folder, warmup_iterations=0)
        for name, folder in folders.items()
    }


@pytest.mark.parametrize("name", ["masked", "unmasked"])
@torch.inference_mode()
def test_text_and_word_times_equal_transformers(
    loaded: dict[str, Loaded], folders: dict[str, Path], name: str
) -> None:
    clip = sounds(3.0)
    (answer,) = answers(loaded[name], clip, word_timestamps=True)
    processor = Wav2Vec2Processor.from_pretrained(folders[name])
    model = Wav2Vec2ForCTC.from_pretrained(folders[name])
    inputs = processor(clip, sampling_rate=RATE, return_tensors="pt")
    said = model(inputs.input_values).logits[0].argmax(dim=1)
    expected = processor.tokenizer.decode(said, output_word_offsets=True)
    assert answer["text"].split() == expected.text.split()
    assert len(answer["text"]) > 20
    words = [word for segment in answer["segments"] for word in segment["words"]]
    seconds = model.config.inputs_to_logits_ratio / RATE
    assert [each["word"] for each in words] == [each["word"] for each in expected.word_offsets]
    for ours, theirs in zip(words, expected.word_offsets, strict=True):
        assert ours["start"] == round(theirs["start_offset"] * seconds, 2)
        assert ours["end"] == round(theirs["end_offset"] * seconds, 2)
    assert answer["language"] == "en"
    assert answer["language_probability"] is None
    assert answer["segments"][0]["no_speech_prob"] is None


@torch.inference_mode()
def test_moonshine_text_equals_transformers(
    loaded: dict[str, Loaded], folders: dict[str, Path]
) -> None:
    clip = sounds(2.0)
    (answer,) = answers(loaded["moonshine"], clip)
    model: Any = MoonshineForConditionalGeneration.from_pretrained(folders["moonshine"])
    tokens = model.generate(torch.from_numpy(clip)[None], max_new_tokens=13)
    tokenizer: Any = AutoTokenizer.from_pretrained(folders["moonshine"])
    assert answer["text"] == tokenizer.decode(tokens[0], skip_special_tokens=True).strip()
    assert answer["text"]
    logits = model(torch.from_numpy(clip)[None], decoder_input_ids=tokens[:, :-1]).logits[0]
    chosen = logits.log_softmax(dim=1).gather(1, tokens[0, 1:, None])
    (segment,) = answer["segments"]
    assert segment["confidence"] == pytest.approx(math.exp(float(chosen.mean())), abs=1e-3)
    assert (segment["start"], segment["end"]) == (0.0, 2.0)


@pytest.mark.parametrize("name", BUILDERS)
def test_a_batch_equals_each_clip_alone(loaded: dict[str, Loaded], name: str) -> None:
    clips = [sounds(seconds, seed) for seed, seconds in enumerate((2.0, 0.7, 3.1))]
    together = answers(loaded[name], *clips)
    for clip, batched in zip(clips, together, strict=True):
        (alone,) = answers(loaded[name], clip)
        assert alone["text"] == batched["text"]
        assert alone["confidence"] == pytest.approx(batched["confidence"], abs=1e-3)


@pytest.mark.parametrize("name", BUILDERS)
def test_long_audio_is_cut_and_its_times_continue(loaded: dict[str, Loaded], name: str) -> None:
    (answer,) = answers(loaded[name], sounds(33.0), offset=100.0)
    starts = [segment["start"] for segment in answer["segments"]]
    assert starts == sorted(starts)
    assert starts[0] >= 100
    assert 125 < answer["segments"][-1]["end"] <= 133


@pytest.mark.parametrize("name", BUILDERS)
def test_a_tiny_clip_is_silence(loaded: dict[str, Loaded], name: str) -> None:
    for count in (0, 1, 1000):
        (answer,) = answers(loaded[name], np.zeros(count, np.float32))
        assert (answer["text"], answer["segments"], answer["confidence"]) == ("", [], None)


@pytest.mark.parametrize("name", ["masked", "moonshine"])
@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("task", "translate"),
        ("initial_prompt", "Names: Ada."),
        ("language", "fr"),
        ("beam_size", 5),
        ("temperature", 0.5),
        ("no_speech_threshold", 0.3),
        ("suppress_blank", False),
    ],
)
def test_unsupported_parameters_are_refused(
    loaded: dict[str, Loaded], name: str, parameter: str, value: Any
) -> None:
    reason = refusal(loaded[name], sounds(1.0), **{parameter: value})
    assert reason.startswith(f"{parameter}: ")


def test_moonshine_has_no_word_times(loaded: dict[str, Loaded]) -> None:
    reason = refusal(loaded["moonshine"], sounds(1.0), word_timestamps=True)
    assert reason.startswith("word_timestamps")
    assert loaded["moonshine"].describe()["word_timestamps"] is False


def test_the_sidecars_usual_parameters_are_accepted(loaded: dict[str, Loaded]) -> None:
    usual = {"language": "auto", "no_speech_threshold": None, "logprob_threshold": -1.0}
    (answer,) = answers(loaded["masked"], sounds(1.0), **usual)
    assert answer["text"]


def test_the_options_say_which_languages(folders: dict[str, Path]) -> None:
    options = {"languages": ["de", "nl"]}
    both = load(SpeechRecognitionHandler(), folders["masked"], warmup_iterations=0, options=options)
    assert answers(both, sounds(1.0), language="nl")[0]["language"] == "nl"
    assert answers(both, sounds(1.0))[0]["language"] is None
    assert "de, nl" in refusal(both, sounds(1.0), language="en")


def test_without_the_sidecar_a_wav_file_of_any_rate_is_heard(loaded: dict[str, Loaded]) -> None:
    assert wav_answer(loaded["masked"], sounds(1.0), rate=8000)["segments"]


def test_a_checkpoint_of_another_kind_does_not_load(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(LoadError, match="'bert' is not a speech recogniser"):
        load(SpeechRecognitionHandler(), tmp_path)


def test_letters_are_parted_by_blanks_and_words_by_pauses() -> None:
    alphabet = Alphabet({0: "_", 1: "|", 2: "l", 3: "o", 4: "<s>"}, 0, 1, frozenset({4}))
    path = [0, 2, 2, 0, 2, 3, 1, 3, 4, 0, 0, 0, 0, 0, 1, 3]
    (first, second) = phrases_of(spoken(path, [math.log(0.5)] * len(path), alphabet), 0.1)
    assert first.text == "llo o"
    assert [word.text for word in first.words] == ["llo", "o"]
    times = [time for word in first.words for time in (word.start, word.end)]
    assert times == pytest.approx([0.1, 0.6, 0.7, 0.8])
    assert second.text == "o"
    assert second.start == pytest.approx(1.5)
    assert first.confidence == pytest.approx(0.5)

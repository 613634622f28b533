"""SpeechRecognitionHandler with Whisper tiny.en and a recording of a person."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jiwer
import msgspec
import numpy as np
import pytest
import torch
from transformers import (
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer
from transformers.utils.logging import disable_progress_bar

from handler_kit.errors import LoadError
from handler_kit.precision import processor_precisions
from handler_kit.wav import Samples, to_pcm
from recognition_kit.whisper.checkpoint import load_checkpoint
from speech_recognition_handler import SpeechRecognitionHandler
from tests.handlers.loaded import Loaded
from tests.handlers.recognising import (
    RATE,
    SPOKEN,
    answers,
    load,
    refusal,
    silences,
    wav_answer,
)

pytest_plugins = ["tests.handlers.recognition_fixtures"]

CPU = torch.device("cpu")
FIRST, SECOND = slice(0, int(3.3 * RATE)), slice(int(3.3 * RATE), None)
normalize = EnglishTextNormalizer({})  # type: ignore[no-untyped-call]


def errors(expected: str, answer: Any) -> float:
    """The word error rate."""
    return float(jiwer.wer(normalize(expected), normalize(answer["text"])))


def assert_well_timed(segments: Sequence[Any], seconds: float, offset: float = 0.0) -> None:
    times = [segment[key] for segment in segments for key in ("start", "end")]
    assert times == sorted(times)
    assert times == [round(time, 2) for time in times]
    assert all(offset - 0.005 <= time <= offset + seconds for time in times)


def test_a_recording_is_transcribed_word_by_word(recogniser: Loaded, speech: Samples) -> None:
    (answer,) = answers(recogniser, speech)
    assert errors(SPOKEN, answer) == 0
    assert (answer["language"], answer["language_probability"]) == ("en", None)
    assert 0.5 < answer["confidence"] < 1
    assert " ".join(segment["text"] for segment in answer["segments"]) == answer["text"]
    assert_well_timed(answer["segments"], len(speech) / RATE)
    for segment in answer["segments"]:
        assert set(segment) == {"start", "end", "text", "confidence", "no_speech_prob"}
        assert 0 < segment["confidence"] < 1
        assert 0 < segment["no_speech_prob"] < 0.6


@pytest.mark.parametrize(
    "parameters",
    [
        {"beam_size": 5},
        {"temperature": 0.3, "seed": 7},
        {"initial_prompt": "Samuel Beckett said:"},
        {"initial_prompt": "<|endoftext|>"},
        {"enable_timestamps": False},
        {"suppress_blank": False, "language": "auto"},
        {"no_speech_threshold": None, "logprob_threshold": None},
    ],
    ids=str,
)
def test_every_decoding_finds_the_words(
    recogniser: Loaded, speech: Samples, parameters: dict[str, Any]
) -> None:
    (answer,) = answers(recogniser, speech, **parameters)
    assert errors(SPOKEN, answer) == 0
    assert_well_timed(answer["segments"], len(speech) / RATE)


@pytest.mark.parametrize(
    "prompt",
    [
        "Ever tried. Ever failed. " * 20,
        "ok. " * 8,
        "Thank you for watching. " * 30,
        "No matter. Try again. No matter. Try again. No matter.",
    ],
    ids=["again and again", "short", "long", "a part"],
)
def test_a_prompt_does_not_take_the_place_of_what_is_said(
    recogniser: Loaded, speech: Samples, prompt: str
) -> None:
    (answer,) = answers(recogniser, speech, initial_prompt=prompt)
    assert errors(SPOKEN, answer) <= 0.1


@pytest.mark.parametrize(
    ("prompt", "timed"),
    [
        ("Ever tried. Ever failed. No matter.", True),
        ("Samuel Beckett: Ever tried. Ever failed. No matter. Try again. Fail again.", False),
        ("No matter. Try again.", False),
    ],
)
def test_speech_that_the_prompt_contains_is_transcribed_as_well(
    recogniser: Loaded, speech: Samples, prompt: str, timed: bool
) -> None:
    (answer,) = answers(recogniser, speech, initial_prompt=prompt, enable_timestamps=timed)
    assert errors(SPOKEN, answer) == 0


def test_repeated_speech_is_transcribed_as_often_as_it_is_said(
    recogniser: Loaded, speech: Samples
) -> None:
    times = 8
    tried = speech[: int(1.6 * RATE)]
    (answer,) = answers(recogniser, np.concatenate([tried] * times))
    assert errors("Ever tried. " * times, answer) <= 0.1
    assert_well_timed(answer["segments"], times * len(tried) / RATE)


def test_without_times_a_piece_is_one_segment(recogniser: Loaded, speech: Samples) -> None:
    (answer,) = answers(recogniser, speech[:48000], enable_timestamps=False)
    assert [(one["start"], one["end"]) for one in answer["segments"]] == [(0, 3)]


def test_network_and_mel_are_those_of_transformers(whisper_folder: Path, speech: Samples) -> None:
    disable_progress_bar()  # type: ignore[no-untyped-call]
    extractor = WhisperFeatureExtractor.from_pretrained(whisper_folder)
    model = WhisperForConditionalGeneration.from_pretrained(whisper_folder, dtype=torch.float32)
    expected = extractor(speech, sampling_rate=RATE, return_tensors="pt").input_features
    checkpoint = load_checkpoint(whisper_folder, CPU)
    mel = checkpoint.mel([speech], checkpoint.mel.max_samples)
    assert (mel - expected).abs().max() < 1e-4
    network = checkpoint.network
    tokens = torch.tensor([[50257, 50362, 10776, 3088]])
    with torch.inference_mode():
        states = network(expected)
        assert (states - model.model.encoder(expected).last_hidden_state).abs().max() < 1e-4
        whole = model(input_features=expected, decoder_input_ids=tokens).logits[0]
        cache = network.cache(network.encoder_keys_values(states), 1, 4)
        first = network.step(tokens[:, :2], cache)
        rest = [network.step(tokens[:, [at]], cache) for at in (2, 3)]
        logits = network.logits(torch.cat([first, *rest], dim=1)[0])
    assert (logits - whole).abs().max() < 1e-3


@pytest.mark.skipif("int8" not in processor_precisions(), reason="no AVX-512 VNNI here")
def test_in_int8_the_same_is_heard_at_the_same_times(
    whisper_folder: Path, recogniser: Loaded, speech: Samples
) -> None:
    low = load(SpeechRecognitionHandler(), whisper_folder, precision="int8")
    assert low.describe()["precision"] == "int8"
    (found,), (expected,) = (
        answers(loaded, speech, word_timestamps=True) for loaded in (low, recogniser)
    )
    assert errors(SPOKEN, found) == 0
    times = [
        [word["start"] for segment in answer["segments"] for word in segment["words"]]
        for answer in (found, expected)
    ]
    assert times[0] == pytest.approx(times[1], abs=0.1)
    assert found["confidence"] == pytest.approx(expected["confidence"], abs=0.1)


def test_the_text_is_that_of_transformers_generate(
    whisper_folder: Path, recogniser: Loaded, speech: Samples
) -> None:
    disable_progress_bar()  # type: ignore[no-untyped-call]
    model = WhisperForConditionalGeneration.from_pretrained(whisper_folder, dtype=torch.float32)
    extractor = WhisperFeatureExtractor.from_pretrained(whisper_folder)
    features = extractor(speech, sampling_rate=RATE, return_tensors="pt").input_features
    tokens = model.generate(features, return_timestamps=True)
    tokenizer = WhisperTokenizer.from_pretrained(whisper_folder)
    text = tokenizer.decode(tokens[0], skip_special_tokens=True).strip()
    assert answers(recogniser, speech)[0]["text"] == text


def test_clips_of_one_job_are_heard_as_if_alone(recogniser: Loaded, speech: Samples) -> None:
    clips = [speech[FIRST], silences(2)["zeros"], speech]
    together = answers(recogniser, *clips)
    alone = [answers(recogniser, clip)[0] for clip in clips]
    for one, other in zip(together, alone, strict=True):
        assert one["text"] == other["text"]
        assert len(one["segments"]) == len(other["segments"])
        for segment, same in zip(one["segments"], other["segments"], strict=True):
            assert segment == pytest.approx(same, abs=2e-4)


def test_a_beam_of_several_clips_is_as_if_alone(recogniser: Loaded, speech: Samples) -> None:
    clips = [speech[FIRST], speech[SECOND]]
    together = answers(recogniser, *clips, beam_size=3)
    alone = [answers(recogniser, clip, beam_size=3)[0] for clip in clips]
    assert [one["text"] for one in together] == [one["text"] for one in alone]


def test_clips_share_a_pass_only_if_they_are_decoded_alike(
    recogniser: Loaded, speech: Samples
) -> None:
    decode = recogniser.handler.decode
    clips = [
        decode(speech, {"offset": 3.0, "no_speech_threshold": None}),
        decode(speech, {"beam_size": 2}),
        decode(speech, {"language": "en", "word_timestamps": True}),
        decode(speech, {"initial_prompt": "A prompt."}),
    ]
    passes = [list(one.members) for one in recogniser.handler.plan(clips)]
    assert passes == [[0, 2], [1], [3]]


def test_a_long_recording_is_heard_to_its_end_at_the_right_times(
    recogniser: Loaded, speech: Samples
) -> None:
    count, seconds = 9, 15.0  # each time the speaker, then a pause
    pause = silences(seconds - len(speech) / RATE)["faint noise"]
    recording = np.tile(np.concatenate([speech, pause]), count)
    plain = wav_answer(recogniser, recording)
    assert errors(" ".join([SPOKEN] * count), plain) < 0.06
    assert_well_timed(plain["segments"], len(recording) / RATE)
    (timed,) = answers(recogniser, recording[: len(recording) // 3], word_timestamps=True)
    words = [word for segment in timed["segments"] for word in segment["words"]]
    better = [word["start"] for word in words if word["word"].startswith("better")]
    expected = [number * seconds + 8.5 for number in range(count // 3)]
    assert better == pytest.approx(expected, abs=0.5)


def test_words_have_times_within_their_segments(recogniser: Loaded, speech: Samples) -> None:
    (answer,) = answers(recogniser, speech, word_timestamps=True, offset=5.0)
    words = [word for segment in answer["segments"] for word in segment["words"]]
    assert normalize(" ".join(word["word"] for word in words)) == normalize(SPOKEN)
    assert_well_timed(words, len(speech) / RATE, offset=5.0)
    for segment in answer["segments"]:
        assert segment["start"] == segment["words"][0]["start"]
        assert segment["end"] == segment["words"][-1]["end"]
        assert all(0 < word["probability"] <= 1 for word in segment["words"])
    starts = {word["word"].strip(".,").lower(): word["start"] - 5.0 for word in words}
    assert starts["matter"] == pytest.approx(3.8, abs=0.4)
    assert starts["better"] == pytest.approx(8.5, abs=0.4)


def test_an_offset_is_added_to_all_times(recogniser: Loaded, speech: Samples) -> None:
    (plain,) = answers(recogniser, speech[FIRST])
    (later,) = answers(recogniser, speech[FIRST], offset=100.25)
    for segment, moved in zip(plain["segments"], later["segments"], strict=True):
        assert moved["start"] == pytest.approx(segment["start"] + 100.25)
        assert moved["end"] == pytest.approx(segment["end"] + 100.25)


def test_a_seed_repeats_a_sampled_transcript(recogniser: Loaded, speech: Samples) -> None:
    parameters = {"temperature": 0.9, "logprob_threshold": None}
    one, same = (answers(recogniser, speech[FIRST], **parameters, seed=3)[0] for _ in range(2))
    (other,) = answers(recogniser, speech[FIRST], **parameters, seed=4)
    assert one == same
    assert one["confidence"] != other["confidence"]


@pytest.mark.parametrize("name", silences(0))
def test_silence_has_an_empty_transcript(recogniser: Loaded, name: str) -> None:
    (answer,) = answers(recogniser, silences(3)[name])
    assert (answer["text"], answer["segments"], answer["confidence"]) == ("", [], None)


def test_without_thresholds_silence_is_transcribed_as_words(recogniser: Loaded) -> None:
    (answer,) = answers(recogniser, silences(3)["zeros"], no_speech_threshold=None)
    assert answer["segments"][0]["no_speech_prob"] > 0.6


def test_no_audio_is_an_empty_transcript(recogniser: Loaded) -> None:
    (answer,) = answers(recogniser, np.zeros(0, np.float32))
    assert answer == {
        "text": "",
        "segments": [],
        "language": "en",
        "language_probability": None,
        "confidence": None,
    }


def test_a_wav_of_another_rate_is_heard_too(recogniser: Loaded, speech: Samples) -> None:
    assert errors(SPOKEN, wav_answer(recogniser, np.repeat(speech, 3), 3 * RATE)) == 0


@pytest.mark.parametrize(
    "parameters",
    [
        {"language": "de"},
        {"language": 7},
        {"task": "translate"},
        {"task": "sing"},
        {"temperature": 1.1},
        {"temperature": -0.1},
        {"beam_size": 0},
        {"beam_size": 11},
        {"beam_size": 2.5},
        {"initial_prompt": "long " * 300},
        {"suppress_blank": "yes"},
        {"enable_timestamps": 1},
        {"word_timestamps": None},
        {"no_speech_threshold": 2},
        {"logprob_threshold": 0.5},
        {"offset": -1},
        {"seed": -1},
        {"tempo": 1},
    ],
    ids=str,
)
def test_a_wrong_parameter_is_refused_by_its_name(
    recogniser: Loaded, parameters: dict[str, Any]
) -> None:
    (name,) = parameters
    assert name in refusal(recogniser, np.zeros(16, np.float32), **parameters)


@pytest.mark.parametrize("body", [b'{"audio": "x"}', b"[1, 2]", b"OggS....", b""])
def test_input_other_than_audio_is_refused(recogniser: Loaded, body: bytes) -> None:
    for row in ({"body": body}, {"body": {"audio": "x"}}):
        error = msgspec.json.decode(recogniser.rows(row)[0])["error"]
        assert "a WAV file, or 16-bit PCM at 16000 Hz" in error
        assert recogniser.context.statuses == {0: 400}


def test_a_bad_clip_does_not_harm_the_good_ones(recogniser: Loaded, speech: Samples) -> None:
    good = to_pcm(speech[FIRST])
    header, bodies = recogniser.job(good, good[:-1], good, type="pcm")
    assert [item.status for item in header.items] == [200, 400, 200]
    assert header.items[1].error == "16-bit PCM must have an even number of bytes"
    assert bodies[0] == bodies[2]
    assert b"failed" in bodies[0]


def test_audio_beyond_the_limit_is_refused(whisper_folder: Path) -> None:
    loaded = load(SpeechRecognitionHandler(), whisper_folder, options={"max_seconds": 1})
    assert "at most 1 s are allowed" in refusal(loaded, np.zeros(RATE + 1, np.float32))


def test_describe_reports_what_the_model_supports(recogniser: Loaded) -> None:
    told = recogniser.describe()
    assert told["languages"] == ["en"]
    assert told["tasks"] == ["transcribe"]
    assert told["multilingual"] is False
    assert (told["sample_rate"], told["max_seconds"]) == (RATE, 300)


def test_half_precision_is_checked_by_the_first_logits(whisper_folder: Path) -> None:
    config = {"precision": "bf16", "warmup_iterations": 0, "max_batch_size": 1}
    told = load(SpeechRecognitionHandler(), whisper_folder, **config).describe()
    assert told["precision"] == "bf16"
    assert 0.99 < told["precision_check"]["cosine"] < 1


def test_a_folder_without_a_model_is_a_load_error(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"cannot load the model: config\.json"):
        load(SpeechRecognitionHandler(), tmp_path)

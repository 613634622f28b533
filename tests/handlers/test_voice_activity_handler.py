"""VoiceActivityHandler with Silero's weights and a recording of a person."""

import base64
import warnings
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from handler_kit.errors import LoadError
from handler_kit.wav import Samples, to_pcm
from tests.handlers.loaded import Loaded
from tests.handlers.recognising import RATE, answers, load, refusal, silences, wav_answer
from voice_activity_handler import VoiceActivityHandler

pytest_plugins = ["tests.handlers.recognition_fixtures"]

FRAME = 512
EQUAL = 1e-4  # answers have four decimals


def probabilities(answer: Any) -> Samples:
    return np.array(answer["probabilities"], np.float32)


@pytest.fixture(scope="session")
def torchscript(silero_folder: Path) -> Any:
    """The wheel's own program, frame by frame."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the wheel has no other program
        return torch.jit.load(silero_folder / "silero_vad.jit")  # type: ignore[no-untyped-call]


@pytest.fixture(scope="session")
def expected(torchscript: Any, speech: Samples) -> Samples:
    """What that program makes of each frame."""
    padded = np.pad(speech, (0, -len(speech) % FRAME)).reshape(-1, 1, FRAME)
    with torch.inference_mode():
        judged = [torchscript(torch.from_numpy(frame), RATE).item() for frame in padded]
    return np.array(judged, np.float32)


def test_each_frame_is_judged_as_by_the_wheels_program(
    listener: Loaded, expected: Samples, speech: Samples
) -> None:
    (answer,) = answers(listener, speech)
    assert np.abs(probabilities(answer) - expected).max() < EQUAL
    assert 0.3 < np.mean(probabilities(answer) > 0.5) < 0.6


@pytest.mark.parametrize("frames", [1, 100])
def test_pieces_equal_the_whole(listener: Loaded, speech: Samples, frames: int) -> None:
    (whole,) = answers(listener, speech)
    state, found = None, []
    for start in range(0, len(speech), frames * FRAME):
        piece = speech[start : start + frames * FRAME]
        (answer,) = answers(listener, piece, **({"state": state} if state else {}))
        state = answer["state"]
        found += answer["probabilities"]
    assert np.abs(np.array(found) - probabilities(whole)).max() < EQUAL


def test_pieces_of_several_recordings_go_together(listener: Loaded, speech: Samples) -> None:
    (before,) = answers(listener, speech[: 50 * FRAME])
    handler = listener.handler
    inputs = [
        handler.decode(speech[50 * FRAME :], {"state": before["state"]}),
        handler.decode(speech[: 3 * FRAME], {}),
        handler.decode(np.zeros(0, np.float32), {"state": before["state"]}),
        handler.decode(speech, {}),
    ]
    (one_pass,) = handler.plan(inputs)
    with torch.inference_mode():
        together = [one.answer() for one in handler.forward(one_pass.batch)]
    whole = np.array(together[3].probabilities)
    assert np.abs(np.array(together[0].probabilities) - whole[50:]).max() < EQUAL
    assert np.abs(np.array(together[1].probabilities) - whole[:3]).max() < EQUAL
    assert together[2].probabilities == []
    assert together[2].state == before["state"]
    first, last = (
        np.frombuffer(base64.b64decode(one.state), "<f4") for one in (together[0], together[3])
    )
    assert np.abs(first - last).max() < 1e-4


@pytest.mark.parametrize("name", silences(0))
def test_silence_has_no_speech(listener: Loaded, name: str) -> None:
    (answer,) = answers(listener, silences(5)[name])
    assert probabilities(answer).max() < 0.5


def test_a_short_last_frame_is_filled_with_zeros(listener: Loaded, speech: Samples) -> None:
    short, filled = answers(
        listener, speech[20000:22000], np.pad(speech[20000:22000], (0, 4 * FRAME - 2000))
    )
    assert len(short["probabilities"]) == 4
    assert short == filled


def test_a_wav_file_is_judged_too(listener: Loaded, speech: Samples) -> None:
    assert wav_answer(listener, speech) == answers(listener, speech)[0]


def test_empty_audio_has_no_frames(listener: Loaded) -> None:
    (answer,) = answers(listener, np.zeros(0, np.float32))
    assert answer["probabilities"] == []


@pytest.mark.parametrize(
    "state",
    [
        "",
        "no base64!",
        "ünïcode",
        "AAAA",
        base64.b64encode(np.full(320, np.nan, "<f4").tobytes()).decode(),
        7,
    ],
)
def test_a_foreign_state_is_refused(listener: Loaded, state: object) -> None:
    assert "state" in refusal(listener, np.zeros(FRAME, np.float32), state=state)


def test_an_unknown_parameter_is_refused_by_its_name(listener: Loaded) -> None:
    assert "threshold" in refusal(listener, np.zeros(FRAME, np.float32), threshold=0.5)


@pytest.mark.parametrize("body", [b'{"audio": "x"}', b"", b"ID3"])
def test_input_other_than_audio_is_refused(listener: Loaded, body: bytes) -> None:
    error = msgspec.json.decode(listener.rows({"body": body})[0])["error"]
    assert "a WAV file, or 16-bit PCM at 16000 Hz" in error


def test_a_bad_piece_does_not_harm_the_good_ones(listener: Loaded, speech: Samples) -> None:
    good = to_pcm(speech[:FRAME])
    header, bodies = listener.job(good, b"odd", good, type="pcm")
    assert [item.status for item in header.items] == [200, 400, 200]
    assert bodies[0] == bodies[2]


def test_audio_beyond_the_limit_is_refused(silero_folder: Path) -> None:
    loaded = load(VoiceActivityHandler(), silero_folder, options={"max_seconds": 1})
    assert "at most 1 s are allowed" in refusal(loaded, np.zeros(RATE + 1, np.float32))


def test_missing_weights_are_a_load_error(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"cannot load silero_vad_16k\.safetensors"):
        load(VoiceActivityHandler(), tmp_path)

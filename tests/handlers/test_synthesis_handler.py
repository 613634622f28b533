"""SpeechSynthesisHandler with hibari's weights."""

from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from handler_kit.errors import LoadError
from handler_kit.precision import MAX_DISTANCE, processor_precisions
from handler_kit.wav import Samples, from_pcm, read_wav
from sidecar.speech.sentences import sentences
from sidecar.speech.synthesis import longest_speech
from tests.handlers.loaded import Loaded
from tests.handlers.speaking import farthest, load_voice, refusal, say, say_all, unpacked
from tests.sentences import SENTENCES

RATE = 24000
EQUAL = 1e-3
TEXT = "Dr. Smith paid $19.99 for 3 tickets. He left at 7:30 p.m.! ... Why? Nobody, but me, knew."


@pytest.fixture(scope="module")
def hibari(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return load_voice("hibari_tts", unpacked("hibari_tts", tmp_path_factory.mktemp("hibari")))


def test_a_batch_of_mixed_texts_equals_each_alone(hibari: Loaded) -> None:
    voices = list(hibari.handler.options.voices)  # type: ignore[attr-defined]
    inputs = [
        {
            "text": text,
            "parameters": {
                "voice": voices[place % len(voices)],
                "speed": (1.0, 0.8, 1.5)[place % 3],
                "emotion": ("neutral", "happy", "sad")[place % 3],
                "seed": place,
            },
        }
        for place, text in enumerate(SENTENCES[:16])
    ]
    together = say_all(hibari, *inputs)
    alone = [say_all(hibari, one)[0] for one in inputs]
    assert max(map(farthest, together, alone)) < EQUAL


def test_passes_side_by_side_sound_as_in_turn(hibari: Loaded) -> None:
    inputs = [{"text": text, "parameters": {"seed": 1}} for text in SENTENCES[:6]]
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        in_turn = say_all(hibari, *inputs)
        torch.set_num_threads(3)
        side_by_side = say_all(hibari, *inputs)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert max(map(farthest, side_by_side, in_turn)) < EQUAL


@pytest.mark.skipif("int8" not in processor_precisions(), reason="no AVX-512 VNNI here")
def test_in_int8_a_voice_says_the_same_in_the_same_time(hibari: Loaded) -> None:
    folder = hibari.handler.folder
    low = load_voice("hibari_tts", folder, {"precision": "int8"})
    assert low.describe()["precision"] == "int8"
    for text in SENTENCES[:8]:
        exact, lowered = (say(each, text, seed=1) for each in (hibari, low))
        assert exact.shape == lowered.shape
        assert np.linalg.norm(exact - lowered) <= MAX_DISTANCE * np.linalg.norm(exact)
    inputs = [{"text": text, "parameters": {"seed": 1}} for text in SENTENCES[:8] * 2]
    crowd = say_all(low, *inputs)
    assert all(
        np.array_equal(one, say_all(low, each)[0]) for one, each in zip(crowd, inputs, strict=True)
    )


def test_sentence_by_sentence_is_the_whole_text(hibari: Loaded) -> None:
    """As the sidecar sends it: marked with its place, and cut with the same library."""
    parts = [say(hibari, part, index=i) for i, part in enumerate(sentences(TEXT, "en"))]
    assert len(parts) > 3
    assert farthest(say(hibari, TEXT), np.concatenate(parts)) < EQUAL


def test_pauses_stand_between_sentences_and_not_before_the_first(hibari: Loaded) -> None:
    options = {"pause_seconds": 0.5}
    slow = load_voice("hibari_tts", hibari.handler.folder, **options)
    more = len(say(slow, "Yes. No. Perhaps.")) - len(say(hibari, "Yes. No. Perhaps."))
    assert more == 2 * RATE // 2


def test_pieces_begin_and_end_softly(hibari: Loaded) -> None:
    audio = say(hibari, TEXT)
    assert np.abs(audio[[0, -1]]).max() < 1e-3
    assert np.abs(np.diff(audio)).max() < 0.6


def test_a_seed_repeats_and_another_differs(hibari: Loaded) -> None:
    assert np.array_equal(say(hibari, "Hello.", seed=3), say(hibari, "Hello.", seed=3))
    assert farthest(say(hibari, "Hello.", seed=3), say(hibari, "Hello.", seed=4)) > EQUAL


@pytest.mark.parametrize(
    ("speed", "seconds"),
    [(0.25, 4.0), (0.5, 2.0), (0.8, 1.25), (1.5, 0.667), (2.0, 0.5)],
)
def test_speed_changes_the_tempo(hibari: Loaded, speed: float, seconds: float) -> None:
    text = SENTENCES[20]
    ratio = len(say(hibari, text, speed=speed)) / len(say(hibari, text))
    assert ratio == pytest.approx(seconds, rel=0.03)


def test_the_highest_speed_leaves_each_sound_a_frame(hibari: Loaded) -> None:
    fastest, fast = (len(say(hibari, SENTENCES[20], speed=speed)) for speed in (4.0, 2.0))
    assert 0.5 * fast < fastest < 0.9 * fast


def test_other_voices_keep_the_tempo(hibari: Loaded) -> None:
    text = SENTENCES[20]
    for name in ("male", "deep", "warm", "bright"):
        assert len(say(hibari, text, voice=name)) == pytest.approx(len(say(hibari, text)), rel=0.03)


def test_volume_compresses_peaks_without_clipping(hibari: Loaded) -> None:
    plain, loud = say(hibari, SENTENCES[0]), say(hibari, SENTENCES[0], volume=2.0)
    quiet = np.abs(plain) < 0.3
    assert np.abs(loud[quiet] - 2 * plain[quiet]).max() < EQUAL
    assert 0.9 < np.abs(loud).max() < 1


@pytest.mark.parametrize("text", ["...", "   ", "", "世界", "—"])
def test_an_unspeakable_text_is_refused_but_an_unspeakable_sentence_is_silent(
    hibari: Loaded, text: str
) -> None:
    assert refusal(hibari, text) == "The text holds nothing that can be spoken"
    assert len(say(hibari, text, index=1)) == 0


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"voice": "nobody"}, "voice: expected one of: default, female, male"),
        ({"speed": 4.5}, "speed"),
        ({"speed": "fast"}, "speed"),
        ({"pitch": 0.1}, "pitch"),
        ({"volume": 0.0}, "volume"),
        ({"emotion": "bored"}, "emotion"),
        ({"language": "de"}, "language: expected one of: en"),
        ({"seed": -1}, "seed"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_a_wrong_parameter_is_named(
    hibari: Loaded, parameters: dict[str, object], reason: str
) -> None:
    assert reason in refusal(hibari, "Hello.", **parameters)


def test_too_much_text_is_refused(hibari: Loaded) -> None:
    assert refusal(hibari, "a" * 5001) == "The text has 5001 characters; at most 5000 are allowed"


@pytest.mark.parametrize("text", ["x" * 500, "word " * 1000, "\x00\x07 hi \u200b", "ﬁ ∑ 東京 ok"])
def test_unusual_text_is_spoken_without_errors(hibari: Loaded, text: str) -> None:
    assert len(say(hibari, text)) > 0


def test_one_bad_input_does_not_affect_others(hibari: Loaded) -> None:
    bodies = [b'"One."', b'{"text": "Two.", "parameters": {"speed": 9}}', b"[1, 2]", b'"Four."']
    header, answers = hibari.job(*bodies)
    assert [item.status for item in header.items] == [200, 400, 400, 200]
    assert [bool(each) for each in answers] == [True, False, False, True]


def test_plain_torchserve_gets_text_and_gives_a_wav_file(hibari: Loaded) -> None:
    for row in (b"Good morning.", b'"Good morning."', {"text": "Good morning."}, "Good morning."):
        answer = hibari.rows({"body": row})[0]
        assert hibari.context.content_types[0] == "audio/wav"
        assert farthest(read_wav(answer, RATE), say(hibari, "Good morning.")) < EQUAL


@pytest.mark.parametrize("row", [b"\xff\xfe", [1], {"words": "x"}, 7])
def test_plain_torchserve_is_told_what_is_wrong(hibari: Loaded, row: object) -> None:
    answer = msgspec.json.decode(hibari.rows({"body": row})[0])
    assert hibari.context.statuses[0] == 400
    assert "text" in answer["error"].lower()


def test_describe_tells_what_the_voices_can_do(hibari: Loaded) -> None:
    told = hibari.describe()
    assert told["voices"][:3] == ["default", "female", "male"]
    assert told["controls"] == ["emotion", "pitch", "speed", "volume"]
    assert told["sample_rate"] == RATE
    assert told["precision"] == "fp32"


def test_a_folder_without_the_network_does_not_load(hibari: Loaded, tmp_path: object) -> None:
    with pytest.raises(LoadError, match="cannot load hibari's network"):
        load_voice("hibari_tts", tmp_path)  # type: ignore[arg-type]


def read(handler: Loaded, sentences: list[str], **parameters: object) -> list[dict[str, Any]]:
    """The script of *sentences*, as the sidecar asks for it."""
    asked = {"in_parts": True, "only_read": True, "index": 0} | parameters
    header, (body,) = handler.job(msgspec.json.encode(sentences), parameters=asked)
    assert header.items[0].parameters["unspoken"] is True
    parts: list[dict[str, Any]] = msgspec.json.decode(body)
    return parts


def say_part(handler: Loaded, part: dict[str, Any]) -> Samples:
    body = msgspec.json.encode(part["script"])
    header, (pcm,) = handler.job(body, type="script", parameters={"in_parts": True})
    assert header.items[0].error is None
    return from_pcm(pcm)


def test_a_script_states_its_duration_and_is_spoken_part_by_part(
    hibari: Loaded,
) -> None:
    parts = read(hibari, sentences(TEXT, "en"))
    spoken = np.concatenate([say_part(hibari, part) for part in parts])
    assert farthest(say(hibari, TEXT), spoken) < EQUAL
    assert sum(part["seconds"] for part in parts) == pytest.approx(len(spoken) / RATE, rel=0.3)


EXPANDING = [
    "W" * 500,
    "1" * 500,
    "$1,234.56 " * 50,
    "%" * 500,
    "WWW. " * 100,
    "1-" * 250,
    "x²" * 250,
]


@pytest.mark.parametrize("text", EXPANDING)
def test_no_part_is_longer_than_a_job(hibari: Loaded, text: str) -> None:
    parts = read(hibari, [text])
    assert 0 < max(part["seconds"] for part in parts) <= 48
    assert sum(part["seconds"] for part in parts) < len(text)  # the sidecar's bound


WORDS = st.from_regex(r"[A-Z]?[a-z]{1,9}[,.!?]?", fullmatch=True)


@given(st.text(max_size=40) | st.lists(WORDS, max_size=12).map(" ".join))
@settings(deadline=None, max_examples=150)
@example("aka " * 20)
@example("inc. " * 20)
def test_no_text_is_longer_than_the_sidecar_estimates(hibari: Loaded, text: str) -> None:
    parts = read(hibari, [text])  # and nothing fails
    assert sum(part["seconds"] for part in parts) <= longest_speech(text) + 1


def test_digits_of_every_kind_are_said(hibari: Loaded) -> None:
    for text in ("¹", "x²", "①", "H₂O", "⁹⁹"):
        assert read(hibari, [text])


def test_text_that_does_not_fit_its_job_comes_back_as_a_script(hibari: Loaded) -> None:
    asked = {"in_parts": True, "index": 3}
    bodies = [b"Hello.", b"W" * 500, b"Hello."]
    header, (first, long, last) = hibari.job(*bodies, type="text", parameters=asked)
    assert len(from_pcm(first)) > 0
    assert len(from_pcm(last)) > 0
    assert [item.parameters.get("unspoken", False) for item in header.items] == [False, True, False]
    parts = msgspec.json.decode(long)
    assert [part["script"]["continued"] for part in parts] == [False] + [True] * (len(parts) - 1)


def test_a_long_text_is_refused_without_in_parts(hibari: Loaded) -> None:
    assert "s of speech, at most 600 s are allowed" in refusal(hibari, "W" * 3500)


def test_a_forged_script_is_refused(hibari: Loaded) -> None:
    for body in (
        b"",
        b"\xff",
        b"[]",
        b'{"first":0,"continued":false,"pieces":["' + b"a" * 401 + b'"]}',
    ):
        header, _ = hibari.job(body, type="script")
        assert header.items[0].status == 400

"""When each word is spoken: from the durations of hibari's network."""

from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from handler_kit.wav import Samples, from_pcm
from synthesis_kit.word_times import SpokenWord, divide_words, fit_to_sound, time_words
from tests.handlers.loaded import Loaded
from tests.handlers.speaking import load_voice, refusal, unpacked
from tests.sentences import SENTENCES

RATE = 24000
TEXT = "It costs $19.99, she said. Nobody, but me, knew why the train was late."
WORDS = (
    "It costs nineteen dollars and ninety nine cents, she said. Nobody, but me, knew why the train"
    " was late."
).split()
TIMED: dict[str, Any] = {"timestamps": "word"}


@pytest.fixture(scope="module")
def hibari(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return load_voice("hibari_tts", unpacked("hibari_tts", tmp_path_factory.mktemp("hibari")))


def spoken(hibari: Loaded, text: str, **parameters: Any) -> tuple[list[SpokenWord], Samples]:
    header, (body,) = hibari.job(text.encode(), type="text", parameters=TIMED | parameters)
    assert header.items[0].error is None
    return [SpokenWord(*each) for each in header.items[0].parameters["words"]], from_pcm(body)


def test_each_word_has_its_time_in_order(hibari: Loaded) -> None:
    words, audio = spoken(hibari, TEXT)
    assert [each.word for each in words] == WORDS
    times = [time for each in words for time in (each.start, each.end)]
    assert times == sorted(times)
    assert 0 < times[0] < 0.5
    assert len(audio) / RATE - 1.0 < times[-1] < len(audio) / RATE


def test_between_sentences_it_is_quiet_and_within_words_it_is_not(hibari: Loaded) -> None:
    """Heard in the audio itself: a word's loudest 10 ms against those between sentences."""
    words, audio = spoken(hibari, "Tomatoes grow here. Potatoes grow there.")
    pause = audio[round(words[2].end * RATE) + 600 : round(words[3].start * RATE) - 600]
    assert len(pause) > 0.2 * RATE
    loudness = [
        float(np.abs(audio[round(each.start * RATE) : round(each.end * RATE)]).max())
        for each in words
    ]
    assert min(loudness) > 5 * float(np.sqrt((pause**2).mean()))


def test_the_first_word_begins_and_the_last_ends_with_the_sound(hibari: Loaded) -> None:
    """Each within 80 ms, and the first neither early nor late on the whole."""
    begin, end = [], []
    for text in SENTENCES[:12]:
        words, audio = spoken(hibari, text)
        loudness = np.sqrt(np.convolve(audio**2, np.full(240, 1 / 240), "same"))
        loud = np.flatnonzero(loudness > 0.01 * np.abs(audio).max()) / RATE
        begin.append(words[0].start - loud[0])
        end.append(words[-1].end - loud[-1])
    assert np.abs([*begin, *end]).max() < 0.08
    assert abs(np.median(begin)) < 0.02


@pytest.mark.parametrize("parameters", [{"speed": 1.5}, {"voice": "deep"}, {"voice": "bright"}])
def test_times_follow_tempo_and_voice(hibari: Loaded, parameters: dict[str, Any]) -> None:
    text = TEXT.partition(". ")[0]  # pauses between sentences have a length of their own
    words, audio = spoken(hibari, text, **parameters)
    plain, plain_audio = spoken(hibari, text)
    ratio = len(audio) / len(plain_audio)
    for one, other in zip(words, plain, strict=True):
        assert one.end == pytest.approx(other.end * ratio, abs=0.12)


def test_a_break_moves_what_follows(hibari: Loaded) -> None:
    document = "<speak>One.<break time='{}ms'/>Two.</speak>"
    short, long = (
        spoken(hibari, document.format(pause), input_type="ssml")[0] for pause in (100, 900)
    )
    assert long[0] == short[0]
    assert long[1].start - short[1].start == pytest.approx(0.8, abs=0.002)


def test_a_script_keeps_its_words(hibari: Loaded) -> None:
    asked = TIMED | {"in_parts": True, "only_read": True}
    _, (body,) = hibari.job(TEXT.encode(), type="text", parameters=asked)
    found: list[SpokenWord] = []
    seconds = 0.0
    for part in msgspec.json.decode(body):
        script = msgspec.json.encode(part["script"])
        header, (pcm,) = hibari.job(script, type="script", parameters=TIMED | {"in_parts": True})
        found += [SpokenWord(*each).later(seconds) for each in header.items[0].parameters["words"]]
        seconds += len(from_pcm(pcm)) / RATE
    whole, _ = spoken(hibari, TEXT)
    assert [each.word for each in found] == WORDS
    for one, other in zip(found, whole, strict=True):
        assert one.start == pytest.approx(other.start, abs=0.003)


def test_times_are_computed_only_when_asked_for(hibari: Loaded) -> None:
    header, _ = hibari.job(b"Hello.", type="text")
    assert "words" not in header.items[0].parameters
    asked = {"in_parts": True, "only_read": True}
    _, (body,) = hibari.job(b"Hello.", type="text", parameters=asked)
    assert b"words" not in body


def test_another_kind_of_timestamp_is_refused(hibari: Loaded) -> None:
    assert "timestamps" in refusal(hibari, "Hello.", timestamps="phoneme")


def test_touching_words_are_separated_at_their_boundary() -> None:
    """20 ms before the network's own boundary, as an aligner found."""
    words = [SpokenWord("one", 0.2, 0.4), SpokenWord("two", 0.4, 0.6)]
    first, second = fit_to_sound(words, torch.ones(RATE), RATE)
    assert first.end == pytest.approx(0.38, abs=0.011)
    assert second.start == pytest.approx(0.38, abs=0.011)


def test_words_are_shared_among_pieces() -> None:
    words = [("one", 3), ("twelve", 6), ("x", 1)]
    assert divide_words(["wʌn twɛ", "lvz"], words) == [
        [("one", 3), ("twelve", 3)],
        [("", 3)],
    ]
    assert divide_words(["wʌn", "twɛlvz ɛ"], words) == [[("one", 3)], [("twelve", 6), ("x", 1)]]


def test_a_words_punctuation_is_not_its_own_time() -> None:
    spans = [(0.0, 0.1), (0.1, 0.2), (0.2, 0.9), (0.9, 1.0), (1.0, 1.1)]
    assert list(time_words("ab, c", [("Ab,", 3), ("c", 1)], spans)) == [
        SpokenWord("Ab,", 0.0, 0.2),
        SpokenWord("c", 1.0, 1.1),
    ]

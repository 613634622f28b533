"""Spoken words as captions."""

from hypothesis import given
from hypothesis import strategies as st

from sidecar.schemas.synthesis import SpokenWord
from sidecar.speech.captions import LONGEST_CHARACTERS, LONGEST_SECONDS, captions, cut


def spoken(text: str, seconds: float = 0.3) -> list[SpokenWord]:
    return [
        SpokenWord(word, round(place * seconds, 3), round((place + 0.9) * seconds, 3))
        for place, word in enumerate(text.split())
    ]


def test_a_sentence_is_a_caption() -> None:
    assert captions(spoken("Hello there. How are you?"), "srt") == (
        "1\n00:00:00,000 --> 00:00:00,570\nHello there.\n\n"
        "2\n00:00:00,600 --> 00:00:01,470\nHow are you?\n"
    )


def test_silence_has_no_caption() -> None:
    assert captions([], "vtt") == "WEBVTT\n"


@given(st.text("ab. ", max_size=400), st.sampled_from([0.1, 0.5, 1.5]))
def test_captions_are_short_and_lose_nothing(text: str, seconds: float) -> None:
    words = spoken(text, seconds)
    cues = list(cut(words))
    assert " ".join(cue.text for cue in cues) == " ".join(text.split())
    for cue in cues:
        alone = " " not in cue.text
        assert alone or len(cue.text) <= LONGEST_CHARACTERS
        assert alone or cue.end - cue.start <= LONGEST_SECONDS

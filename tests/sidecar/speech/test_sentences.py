"""Sentences, as a text is cut into queue entries."""

from hypothesis import given
from hypothesis import strategies as st

from sidecar.speech.sentences import sentences


def test_abbreviations_and_numbers_end_no_sentence() -> None:
    text = "Dr. Smith paid $19.99 at 7:30 p.m. He left.\nWhy? No. 5 said e.g. nothing."
    assert sentences(text, "en") == [
        "Dr. Smith paid $19.99 at 7:30 p.m.",
        "He left.",
        "Why?",
        "No. 5 said e.g. nothing.",
    ]


def test_a_text_of_spaces_is_one_sentence_for_the_model_to_refuse() -> None:
    assert sentences(" \n ", "en") == [" \n "]


@given(st.text(max_size=200))
def test_no_character_is_lost_but_space(text: str) -> None:
    def visible(value: str) -> str:
        return "".join(value.split())

    assert visible("".join(sentences(text, "en"))) == visible(text)

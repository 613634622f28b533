"""Sentences, as a text is cut into queue entries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.speech.sentences import MAX_CHARACTERS, sentences, text_parts
from sidecar.speech.synthesis import is_english
from synthesis_kit.text.reading import is_english as handlers_is_english
from synthesis_kit.text.text_pieces import sentences as handlers_sentences


def test_abbreviations_and_numbers_end_no_sentence() -> None:
    text = "Dr. Smith paid $19.99 at 7:30 p.m. He left.\nWhy? No. 5 said e.g. nothing."
    assert sentences(text, "en") == [
        "Dr. Smith paid $19.99 at 7:30 p.m.",
        "He left.",
        "Why?",
        "No. 5 said e.g. nothing.",
    ]


def test_a_line_or_paragraph_without_a_stop_keeps_its_break() -> None:
    text = "A heading\n\n- one\n- two\n\nThe end.\nBye\n"
    assert sentences(text, "en") == ["A heading\n\n", "- one\n", "- two\n\n", "The end.", "Bye"]


@given(st.text("ab. \n-", max_size=60))
def test_the_handler_cuts_as_the_sidecar_does(text: str) -> None:
    if text.strip():
        assert handlers_sentences(text, "en") == sentences(text, "en")


@pytest.mark.parametrize(
    "language", ["en", "EN", "en-US", "eng", "eng-GB", "en_GB", "enm", "enh", "de", "English", ""]
)
def test_both_programs_agree_on_what_is_english(language: str) -> None:
    assert is_english(language) == handlers_is_english(language)


def test_a_code_that_only_begins_like_english_is_another_language() -> None:
    assert [is_english(code) for code in ("en-US", "eng", "enm")] == [True, True, False]


def test_a_text_of_spaces_is_one_sentence_for_the_model_to_refuse() -> None:
    assert sentences(" \n ", "en") == [" \n "]


@given(st.text(max_size=200))
def test_no_character_is_lost_but_space(text: str) -> None:
    def visible(value: str) -> str:
        return "".join(value.split())

    assert visible("".join(sentences(text, "en"))) == visible(text)


def test_a_long_sentence_is_cut_after_a_clause_or_between_words() -> None:
    clauses = text_parts("one two three, " * 60, "en")
    assert [part.continued for part in clauses] == [False, True]
    assert clauses[0].text.endswith("three,")
    words = text_parts("seven " * 200, "en")
    assert {word for part in words for word in part.text.split()} == {"seven"}
    assert [len(part.text) for part in text_parts("W" * 1200, "en")] == [500, 500, 200]


@given(st.text(alphabet="ab1,. W\n", max_size=3000))
def test_parts_of_a_text_are_short_and_complete(text: str) -> None:
    parts = [part.text for part in text_parts(text, "en")]
    assert "".join("".join(parts).split()) == "".join(text.split())
    assert all(len(part) <= MAX_CHARACTERS for part in parts) or not text.strip()

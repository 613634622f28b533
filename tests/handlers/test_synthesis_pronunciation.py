"""English text as phonemes: what the lexicon reads, in bounded time."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_kit.errors import InvalidInput
from synthesis_kit.text.ipa import pronunciation as symbols_of
from synthesis_kit.text.pronunciation import Pronunciation, parted, syllables
from synthesis_kit.text.text_pieces import cut

PHONEMES = [  # what the lexicon reads right by itself
    ("NASA", "nˈæsə"),
    ("FBI", "ˌɛfbˌiˈI"),
    ("PCs", "pˌisˈiz"),
    ("GPU", "ʤˌipˌijˈu"),
    ("21st", "twˈɛnti fˈɜɹst"),
    ("in 1999", "ɪn nˌIntˈin nˈIndi nˈIn"),
    ("in 2005", "ɪn tˈu θˈWzᵊnd fˈIv"),
    ("-5", "mˈInəs fˈIv"),
    ("3.5%", "θɹˈi pˈYnt fˈIv pəɹsˈɛnt"),
    ("R&D", "ˈɑɹ ænd dˈi"),
    ("e.g.", "fɔɹ ɪɡzˈæmpəl"),
    ("etc.", "ɛtsˈɛTəɹə."),
]


@pytest.fixture(scope="module")
def pronunciation() -> Pronunciation:
    return Pronunciation()


@pytest.mark.parametrize(("written", "phonemes"), PHONEMES)
def test_the_lexicon_reads_it_right(
    pronunciation: Pronunciation, written: str, phonemes: str
) -> None:
    assert said(pronunciation, written) == phonemes


def said(pronunciation: Pronunciation, text: str, **words: str) -> str:
    return pronunciation.phonemes(text, normalized=True, pronunciations=words).symbols


def test_text_that_is_not_to_be_normalised_goes_as_it_stands(pronunciation: Pronunciation) -> None:
    asked, left = (pronunciation.phonemes("$5", normalized=each).symbols for each in (True, False))
    assert asked == "fˈIv dˈɑləɹz"
    assert pronunciation.phonemes("5 km", normalized=False).symbols == "fˈIv kˌAˈɛm"
    assert left


def test_a_single_letter_is_spelled_unless_it_is_an_article(pronunciation: Pronunciation) -> None:
    assert said(pronunciation, "A dog") == "ɐ dˈɔɡ"
    for text in ("at 7 am", "vitamin A.", "the USA", "an A4"):
        assert "ˈA" in said(pronunciation, text), text


def test_a_long_unknown_word_keeps_its_end(pronunciation: Pronunciation) -> None:
    town = "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogoch"
    assert len(said(pronunciation, town)) > 1.5 * len(said(pronunciation, town[:30]))
    assert len(said(pronunciation, town * 3)) > 2.5 * len(said(pronunciation, town))
    assert "".join(syllables(town)) == town
    assert max(map(len, syllables("x" * 99))) <= 20


def test_a_client_gives_the_pronunciation_of_a_word(pronunciation: Pronunciation) -> None:
    plain, own = said(pronunciation, "GIF"), said(pronunciation, "GIF", GIF="ʤˈɪf")
    assert (plain, own) == ("ɡˈɪf", "ʤˈɪf")
    assert said(pronunciation, "GIFT gifs", GIF="ʤˈɪf") == said(pronunciation, "GIFT gifs")
    assert said(pronunciation, "The (GIF), I", GIF="ʤˈɪf") == "ðə (ʤˈɪf), ˌI"
    assert "zˈi" in said(pronunciation, "Data is. data", data="zˈi").split(".")[0]
    unread = pronunciation.phonemes("a GIF", normalized=False, pronunciations={"GIF": "ʤˈɪf"})
    assert unread.symbols == "ɐ ʤˈɪf"


@pytest.mark.parametrize("normalized", [True, False])
def test_a_text_cannot_smuggle_phonemes_in(pronunciation: Pronunciation, normalized: bool) -> None:
    said = pronunciation.phonemes("[word](/zˈizi/)", normalized=normalized)
    assert "zˈizi" not in said.symbols


@pytest.mark.parametrize(
    ("ipa", "symbols"),
    [
        ("dʒɪf", "ʤɪf"),
        ("/həˈloʊ/", "həlˈO"),
        ("təˈmɑːtoʊ", "təmˈɑtO"),
        ("ˈt͡ʃɛk", "ʧˈɛk"),
        ("bɜːd", "bɜɹd"),
    ],
)
def test_ipa_becomes_the_symbols_that_voices_know(ipa: str, symbols: str) -> None:
    assert symbols_of("word", ipa) == symbols


@pytest.mark.parametrize(
    ("ipa", "reason"), [("ʁɛx", "the sounds x, ʁ"), ("bst", "must have a vowel"), ("", "vowel")]
)
def test_sounds_that_no_voice_has_are_refused_by_name(ipa: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=f"pronunciations: word: .*{reason}"):
        symbols_of("word", ipa)


@pytest.mark.parametrize("run", ["a-", "aA", "1x", "@", ".5", "a@", "000 "])
def test_no_text_holds_a_worker_for_minutes(pronunciation: Pronunciation, run: str) -> None:
    """hibari's look-up of one run without spaces takes time with the cube of its parts."""
    started = time.thread_time()
    pronunciation.phonemes(run * (2000 // len(run)), normalized=True)
    assert time.thread_time() - started < 15


def test_long_runs_are_parted_where_words_end() -> None:
    run = "state-of-the-art-and-more/of/it"
    assert parted(run) == "state-of-the-art-and -more/of/it"
    assert parted("x" * 100) == "x" * 100
    assert parted("mother-in-law") == "mother-in-law"


@given(st.lists(st.text("abc,;: ", max_size=40), max_size=8), st.integers(20, 60))
def test_pieces_are_short_and_complete_except_for_spaces(parts: list[str], longest: int) -> None:
    phonemes = " ".join("".join(parts).split())
    pieces = cut(phonemes, longest)
    assert all(len(piece) <= longest for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(phonemes.split())


def test_a_long_sentence_is_cut_at_its_clauses() -> None:
    assert cut("one two, three four, five six", 20) == ["one two, three four,", "five six"]
    assert cut("one two three four five", 20) == ["one two three four", "five"]

"""English as words: what is written, and what is said."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hibari.g2p import G2P
from hypothesis import example, given, settings
from hypothesis import strategies as st

from english_kit import (
    abbreviations,
    addresses,
    clock,
    dates,
    foreign,
    identifiers,
    mathematics,
    measures,
    money,
    quantities,
    sayings,
    signs,
)
from english_kit.names import NameReader
from english_kit.reading import EnglishReader
from english_kit.roman import RomanReader
from english_kit.say_as import KINDS, said_as
from english_kit.scanner import LEFT_OUT, beginning
from synthesis_kit.text.pronunciation import known_words

PAIRS = Path(__file__).with_name("english_pairs.tsv")
MODULES = (
    abbreviations,
    addresses,
    clock,
    dates,
    foreign,
    identifiers,
    mathematics,
    measures,
    money,
    quantities,
    sayings,
    signs,
)
WORD = re.compile(r"[^\W_]+")
WORDS = "the house of Smith was no x dog Sun May NASA she Dr. St. I fig".split()
SIGNS = "@#%&+=<>^|\\/*_~$€£¥°§©®™№√∞±×÷≠≤≥≈→←•²³µ∑∫∂∆¢‰¶†¬∈♥★✓☀😀"
STEPS = (1250, 5000)
PROSE = "The quick brown fox jumps over the lazy dog, and 12 others. "
# One kind of writing over and over: each reader meets its worst there.
RUNS = (
    "1",
    "1,",
    "1.",
    "1 ",
    "1-",
    "1/",
    "1:",
    "1x",
    "1'",
    "a",
    "A",
    "aA",
    "a-",
    "A.",
    "a.",
    "a.b/",
    "@",
    "a@",
    "*",
    "*a ",
    "**a",
    "_a",
    "`a",
    "[",
    "[a](",
    "![",
    "<",
    "<a ",
    "</a",
    "&a",
    "|a",
    "#",
    "> ",
    "- ",
    "\n",
    "-",
    "$",
    "$1",
    "(1",
    "“",
    '"',
    "'",
    "½",
    "²",
    "😀",
    "1e",
    "IV ",
    "/a",
    "+1 ",
    "12 34 ",
    "Jan ",
    "No. ",
    "http://",
    "~~a",
    "<!--",
    "<script>",
    "King Xy ",
    "Привет",
)


@pytest.fixture(scope="module")
def reader() -> EnglishReader:
    return EnglishReader(known_words(G2P(oov=False).lexicon))


def pairs() -> Iterator[tuple[str, str, str]]:
    kind = ""
    for line in PAIRS.read_text(encoding="utf-8").splitlines():
        if line.startswith("### "):
            kind = line.removeprefix("### ")
        elif "\t" in line:
            written, spoken = line.split("\t")
            yield kind, written.replace("\\n", "\n"), spoken


def test_the_pairs_cover_every_kind_of_text() -> None:
    kinds = [kind for kind, _, _ in pairs()]
    assert len(kinds) > 1500
    assert len(set(kinds)) > 20


@pytest.mark.parametrize("kind", sorted({kind for kind, _, _ in pairs()}))
def test_written_text_is_read_as_people_say_it(reader: EnglishReader, kind: str) -> None:
    wrong = [
        (written, reader.read(written).words, spoken)
        for each, written, spoken in pairs()
        if each == kind and reader.read(written).words != spoken
    ]
    assert wrong == []


numbers = st.integers(1, 10**7).flatmap(
    lambda n: st.sampled_from(
        [
            f"{n}",
            f"-{n}",
            f"−{n}",
            f"{n:,}",
            f"{n}.5",
            f"{n},25",
            f".{n}",
            f"{n}%",
            f"${n}",
            f"{n} km",
            f"{n}s",
            f"€{n}.50",
            f"{n}kg",
            f"C${n}",
            f"#{n}",
            f"({n})",
            "½",
            f"+{n}",
        ]
    )
)
tokens = st.one_of(numbers, st.sampled_from(SIGNS), st.sampled_from(WORDS))


def count(words: str) -> int:
    return len(WORD.findall(words))


@given(st.lists(tokens, max_size=4), st.one_of(numbers, st.sampled_from(SIGNS)))
@settings(max_examples=300, deadline=None)
@example(["x", "="], "-1")
@example(["a"], "√")
def test_each_number_and_sign_leaves_its_words(
    reader: EnglishReader, ahead: list[str], token: str
) -> None:
    """Between phrases, so that what stands beside it reads no differently without it."""
    with_it = reader.read(f"so {' '.join(ahead)}; {token}; then").words
    without = reader.read(f"so {' '.join(ahead)}; ; then").words
    assert count(with_it) > count(without)


@given(st.integers(-(10**14), 10**14))
@settings(max_examples=100, deadline=None)
def test_a_negative_number_is_its_positive_with_minus(reader: EnglishReader, number: int) -> None:
    said = reader.read(f"It is {abs(number)} here.").words
    for sign in "-−":
        minus = reader.read(f"It is {sign}{abs(number)} here.").words
        assert minus.split() == [
            *said.split()[:2],
            "minus",
            *reader_words(reader, abs(number)),
            "here.",
        ]


def reader_words(reader: EnglishReader, number: int) -> list[str]:
    return reader.read(f"x = {number}").words.split()[2:]


@given(st.integers(1, 999_999), st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_money_is_said_alike_on_both_sides_and_with_a_comma(
    reader: EnglishReader, units: int, cents: int
) -> None:
    forms = (f"€{units}.{cents:02}", f"{units}.{cents:02} €", f"{units},{cents:02} €")
    assert len({reader.read(form).words for form in forms}) == 1


@given(st.text(max_size=80))
@settings(deadline=None)
def test_any_text_is_read(reader: EnglishReader, text: str) -> None:
    read = reader.read(text)
    assert not re.search(r"\d", read.words)  # nothing is left for a voice to guess
    assert "\n" not in read.words


@given(
    st.text(
        alphabet=st.characters(categories=["Lu", "Ll", "Lo", "Nd", "Sm", "Sc", "So", "No"]),
        min_size=1,
        max_size=1,
    )
)
@settings(max_examples=500, deadline=None)
def test_a_character_is_spoken_or_reported_as_omitted(
    reader: EnglishReader, character: str
) -> None:
    read = reader.read(f"so {character} then")
    assert count(read.words) > 2 or read.left_out


def test_other_scripts_are_told(reader: EnglishReader) -> None:
    read = reader.read("Hello Привет, 世界! π is Greek.")
    assert read.words == "Hello! pi is Greek."
    assert read.left_out == ["Привет", "世界"]


def test_marks_that_open_and_never_close_are_signs(reader: EnglishReader) -> None:
    assert reader.read("5 *").words == "five asterisk"
    assert reader.read("a < b > c").words == "a less than b greater than c"


def test_a_text_that_is_not_markup_is_read_literally(reader: EnglishReader) -> None:
    assert reader.read("a **b** c", is_marked_up=False).words != "a b c"


def test_a_reader_is_asked_wherever_its_kind_stands() -> None:
    """Each names the characters that it begins with; a sign that it forgot would be passed by."""
    readers = [
        *(each for module in MODULES for each in module.READERS),
        *signs.KEYCAPS,
        *NameReader(str.islower).readers(),
        *RomanReader(str.islower).readers(),
    ]
    passed_by = {
        (text[place:], each.pattern.pattern)
        for _, text, _ in pairs()
        for place in range(len(text))
        if not text[place].isspace()
        for each in readers
        if each.pattern.pattern != "." and each.kind != LEFT_OUT  # what no other has read
        if not each.may_begin(beginning(text[place]))
        and (found := each.pattern.match(text, place))
        and found[0]
    }
    assert sorted(passed_by) == []


def thread_seconds(reader: EnglishReader, text: str) -> float:
    """Return the least that reading *text* takes of this thread's time, whoever else works."""

    def once() -> float:
        started = time.thread_time()
        reader.read(text)
        return time.thread_time() - started

    return min(once() for _ in range(3))


@pytest.fixture(scope="module")
def prose_seconds(reader: EnglishReader) -> float:
    """How long prose takes that is as long as the longest run."""
    reader.read(PROSE)  # compiles the patterns
    return thread_seconds(reader, (PROSE * STEPS[1])[: STEPS[1]])


@pytest.mark.parametrize("run", RUNS)
def test_time_grows_with_the_text_and_no_faster(
    reader: EnglishReader, prose_seconds: float, run: str
) -> None:
    reader.read(run * 100)  # compiles the patterns
    short, long = (thread_seconds(reader, (run * size)[:size]) for size in STEPS)
    assert long < 20 * prose_seconds
    assert long < max(12 * short, 4 * prose_seconds), "four times the text"


@pytest.mark.parametrize(
    ("text", "kind", "form", "words"),
    [
        ("A1b", "characters", None, "A one B"),
        ("x@y", "spell-out", None, "X at Y"),
        ("1234", "digits", None, "one two three four"),
        ("1999", "cardinal", None, "one thousand nine hundred ninety-nine"),
        ("-5", "number", None, "minus five"),
        ("21", "ordinal", None, "twenty-first"),
        ("3rd", "ordinal", None, "third"),
        ("04/03/2024", "date", "dmy", "March fourth, twenty twenty-four"),
        ("04/03/2024", "date", "mdy", "April third, twenty twenty-four"),
        ("2024-03", "date", "ym", "March twenty twenty-four"),
        ("+1 555 0199", "telephone", None, "plus one, five five five, zero one nine nine"),
        ("1/2", "fraction", None, "1/2"),
    ],
)
def test_a_document_says_what_something_is(
    text: str, kind: str, form: str | None, words: str
) -> None:
    assert said_as(text, kind, form) == words


@pytest.mark.parametrize(
    ("text", "kind", "form", "reason"),
    [
        ("x", "expletive", None, "interpret-as: expected one of: .*cardinal"),
        ("x", "ordinal", None, "whole number"),
        ("1/2/2024", "date", "xyz", "format: expected one of"),
        ("1/2024", "date", "dmy", "dmy needs 3 numbers"),
        ("1/13/2024", "date", "dmy", "is not a date of the form dmy"),
    ],
)
def test_a_text_that_does_not_fit_its_kind_is_refused(
    text: str, kind: str, form: str | None, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        said_as(text, kind, form)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_takes_a_number(kind: str) -> None:
    assert said_as("12", kind)

"""What is written, as it is said.  The rows are the way a text goes: ours, then hibari's."""

import time

import pytest
from hibari.g2p import normalize
from hypothesis import given
from hypothesis import strategies as st

from synthesis_kit.normalization import readable
from synthesis_kit.pieces import cut
from synthesis_kit.pronunciation import Pronunciation, parted

SAID = [
    ("jane.doe@example.com", "jane dot doe at example dot com"),
    ("Mail a_b@x.org.", "Mail a underscore b at x dot org."),
    (
        "https://www.example.com/docs/?x=1",
        "W W W dot example dot com slash docs slash question mark x equals 1",
    ),
    ("See pytorch.org, or", "See pytorch dot org, or"),
    ("docs.python.org/3/", "docs dot python dot org slash 3"),
    ("$19.99", "19 dollars and 99 cents"),
    ("$1", "1 dollar"),
    ("$1.01", "1 dollar and 1 cent"),
    ("$0.50", "50 cents"),
    ("-$5", "minus 5 dollars"),
    ("$1.5M", "1.5 million dollars"),
    ("$3 billion", "3 billion dollars"),
    ("€20 or £5.50", "20 euros or 5 pounds and 50 pence"),
    ("¥1000", "1000 yen"),
    ("$1,234,567.89", "1,234,567 dollars and 89 cents"),
    ("$2.00", "2 dollars"),
    ("version 2.13.0", "version 2 point 13 point 0"),
    ("v1.2.3", "version 1 point 2 point 3"),
    ("192.168.1.1", "192 dot 168 dot 1 dot 1"),
    ("3 kg", "3 kilograms"),
    ("100 km/h", "100 kilometers per hour"),
    ("25°C", "25 degrees Celsius"),
    ("16 GB", "16 gigabytes"),
    ("5'10\"", "5 foot 10"),
    ("14:30", "fourteen thirty"),
    ("7:05 am", "seven oh five A.M."),
    ("12:00", "twelve o'clock"),
    ("2024-03-04", "March fourth, 2024"),
    ("3/4/2024", "March fourth, 2024"),
    ("March 4th, 2024", "March fourth, 2024"),
    ("4 July 1776", "the fourth of July 1776"),
    ("vs. those", "versus those"),
    ("approx. 5", "approximately 5"),
    ("No. 5", "Number 5"),
    ("#3", "number 3"),
    ("1/2", "one half"),
    ("pages 10-20", "pages 10 to 20"),
    ("555-1234", "5 5 5, 1 2 3 4"),
    ("212-555-1234", "2 1 2, 5 5 5, 1 2 3 4"),
    ("+1 (212) 555-1234", "plus 1, 2 1 2, 5 5 5, 1 2 3 4"),
    ("Dr. Smith", "Dr Smith"),
    ("5 Main St.", "5 Main Street."),
    ("Chapter IV", "Chapter 4"),
    ("Henry VIII", "Henry the eighth"),
    ("C# and JSON", "C sharp and Jason"),
    ("24/7", "twenty-four seven"),
    ("NASA and the FBI", "NASA and the FBI"),
    ("20 € or 5 USD", "20 euros or 5 dollars"),
    ("$10-20", "10 to 20 dollars"),
    ("$3–5 million", "3 to 5 million dollars"),
    ("$5/month", "5 dollars per month"),
    ("£1.01", "1 pound and 1 penny"),
    ("127.0.0.1:8080", "127 dot 0 dot 0 dot 1 port 8080"),
    ("See config.json and main.py.", "See config dot json and main dot py."),
    ("2024-03-04T14:30:00Z", "March fourth, 2024 at fourteen thirty UTC"),
    ("+44 20 7946 0958", "plus 4 4, 2 0, 7 9 4 6, 0 9 5 8"),
    ("0800 555 1212", "0 8 0 0, 5 5 5, 1 2 1 2"),
    ("Call 911 now", "Call 9 1 1 now"),
    ("room 007", "room 0 0 7"),
    ("12345678901234567", "1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7"),
    ("1 000 000 km", "1,000,000 kilometers"),
    ("−5", "-5"),
    ("5-10%", "5 to 10%"),
    ("April 5-7", "April fifth to seventh"),
    ("7:30-9:15", "seven thirty to nine fifteen"),
    ("9am-5pm", "9 A.M. to 5 P.M."),
    ("14:00", "14 hundred"),
    ("a ratio of 3:1", "a ratio of 3 to 1"),
    ("2 1/2 cups, 1 3/4 miles", "2 and a half cups, 1 and 3 quarters miles"),
    ("10 - 3 = 7", "10 minus 3 equals 7"),
    ("9 x 5 = 45", "9 times 5 equals 45"),
    ("5 cm x 3 cm", "5 centimeters by 3 centimeters"),
    ("1920x1080", "1920 by 1080"),
    ("1e6", "1 times 10 to the power of 6"),
    ("2.5M users", "2.5 million users"),
    ("~5 or ≈6", "about 5 or about 6"),
    ("x ≥ 5", "x at least 5"),
    ("10 m, 5 g and 1 L", "10 meters, 5 grams and 1 liter"),
    ("20 m²", "20 square meters"),
    ("6 in. wide", "6 inches wide"),
    ("5 ft 3 in", "5 feet 3 inches"),
    ("CO2", "C O 2"),
    ("9/11", "nine eleven"),
    ("cats, etc. and dogs", "cats, etc and dogs"),
    ("on Elm Dr. in town", "on Elm Drive in town"),
    ("R&D & salt", "R&D & salt"),
    ("-5 in the 1990s", "-5 in the 1990s"),
]
PHONEMES = [  # what the lexicon reads right by itself
    ("NASA", "nˈæsə"),
    ("FBI", "ˌɛfbˌiˈI"),
    ("PCs", "pˌisˈiz"),
    ("GPU", "ʤˌipˌijˈu"),
    ("21st", "twˈɛnti fˈɜɹst"),
    ("in 1999", "ɪn nˌIntˈin nˈIndi nˈIn"),
    ("in 2005", "ɪn tˈu θˈWzᵊnd fˈIv"),
    ("-5", "mˈInəs fˈIv"),
    ("3.5%", "θɹˈi pYnt fˈIv pəɹsˈɛnt"),
    ("R&D", "ˈɑɹ ænd dˈi"),
    ("e.g.", "ˌiʤˈi"),
    ("etc.", "ɛtsˈɛTəɹə."),
]


@pytest.fixture(scope="module")
def pronunciation() -> Pronunciation:
    return Pronunciation()


@pytest.mark.parametrize(("written", "said"), SAID)
def test_it_is_said_as_people_say_it(written: str, said: str) -> None:
    assert normalize(readable(written)) == said


@pytest.mark.parametrize(("written", "phonemes"), PHONEMES)
def test_the_lexicon_reads_it_right(
    pronunciation: Pronunciation, written: str, phonemes: str
) -> None:
    assert pronunciation.phonemes(written, normalized=True) == phonemes


def test_text_that_is_not_to_be_normalised_goes_as_it_stands(pronunciation: Pronunciation) -> None:
    asked, left = (pronunciation.phonemes("$5", normalized=each) for each in (True, False))
    assert asked == "fˈIv dˈɑləɹz"
    assert pronunciation.phonemes("5 km", normalized=False) == "fˈIv kˌAˈɛm"
    assert left


@pytest.mark.parametrize("run", ["a-", "aA", "1x", "@", ".5", "a@", "000 "])
def test_no_text_holds_a_worker_for_minutes(pronunciation: Pronunciation, run: str) -> None:
    """hibari's look-up of one run without spaces takes time with the cube of its parts."""
    started = time.process_time()
    pronunciation.phonemes(run * (2000 // len(run)), normalized=True)
    assert time.process_time() - started < 15


def test_long_runs_are_parted_where_words_end() -> None:
    run = "state-of-the-art-and-more/of/it"
    assert parted(run) == "state-of-the-art-and -more/of/it"
    assert parted("x" * 100) == "x" * 100
    assert parted("mother-in-law") == "mother-in-law"


@pytest.mark.parametrize("text", ["i.e. this", "U.S. troops", "end. Next", "3.14", "e.g. that"])
def test_what_is_no_address_stays(text: str) -> None:
    assert readable(text) == text


@given(st.text(max_size=80))
def test_no_text_is_too_strange(text: str) -> None:
    normalize(readable(text))


@given(st.lists(st.text("abc,;: ", max_size=40), max_size=8), st.integers(20, 60))
def test_pieces_are_short_and_lose_nothing_but_space(parts: list[str], longest: int) -> None:
    phonemes = " ".join("".join(parts).split())
    pieces = cut(phonemes, longest)
    assert all(len(piece) <= longest for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(phonemes.split())


def test_a_long_sentence_is_cut_at_its_clauses() -> None:
    assert cut("one two, three four, five six", 20) == ["one two, three four,", "five six"]
    assert cut("one two three four five", 20) == ["one two three four", "five"]

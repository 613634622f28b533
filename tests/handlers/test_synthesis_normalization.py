"""What is written, as it is said.  The rows are the way a text goes: ours, then hibari's."""

import pytest
from hibari.g2p import normalize
from hypothesis import given
from hypothesis import strategies as st

from synthesis_kit.normalization import readable
from synthesis_kit.pieces import cut

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
]


@pytest.mark.parametrize(("written", "said"), SAID)
def test_it_is_said_as_people_say_it(written: str, said: str) -> None:
    assert normalize(readable(written)) == said


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

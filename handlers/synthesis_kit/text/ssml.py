"""SSML (https://www.w3.org/TR/speech-synthesis11/), as far as a network can follow it.

A document becomes passages: text with its own tempo, pitch and loudness, after a pause.  What no
network here supports is refused by the name of its element or attribute.
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar
from xml.parsers import expat

from english_kit.say_as import said_as
from handler_kit.errors import InvalidInput

MAX_DEPTH = 32
MAX_ELEMENTS = 1000
MAX_BREAK_SECONDS = 10.0
MAX_PAUSE_SECONDS = 60.0  # of several breaks in a row
PARAGRAPH_SECONDS = 0.5
LEAST, MOST = 0.5, 2.0  # factors of tempo and pitch
QUIETEST, LOUDEST = 0.1, 2.0

_BREAKS = {"none": 0.0, "x-weak": 0.1, "weak": 0.2, "medium": 0.4, "strong": 0.8, "x-strong": 1.2}
_RATES = {"x-slow": 0.5, "slow": 0.75, "medium": 1.0, "default": 1.0, "fast": 1.25, "x-fast": 1.6}
_PITCHES = {"x-low": 0.75, "low": 0.88, "medium": 1.0, "default": 1.0, "high": 1.15, "x-high": 1.35}
_VOLUMES = {
    "x-soft": 0.35,
    "soft": 0.6,
    "medium": 1.0,
    "default": 1.0,
    "loud": 1.4,
    "x-loud": 1.8,
}
_EMPHASES = {  # tempo, loudness
    "strong": (0.85, 1.4),
    "moderate": (0.92, 1.2),
    "none": (1.0, 1.0),
    "reduced": (1.08, 0.8),
}
_NUMBER = re.compile(r"([+-]?)(\d{1,4}(?:\.\d{1,4})?|\.\d{1,4})(%|st|dB|)")
_TIME = re.compile(r"\+?(\d{1,6}(?:\.\d{1,6})?|\.\d{1,6})(ms|s)")
_ATTRIBUTES: Mapping[str, frozenset[str]] = {
    "speak": frozenset({"version", "xml:lang", "xmlns", "xmlns:xsi", "xsi:schemaLocation"}),
    "p": frozenset({"xml:lang"}),
    "s": frozenset({"xml:lang"}),
    "break": frozenset({"time", "strength"}),
    "say-as": frozenset({"interpret-as", "format"}),
    "sub": frozenset({"alias"}),
    "emphasis": frozenset({"level"}),
    "prosody": frozenset({"rate", "pitch", "volume"}),
    "phoneme": frozenset({"alphabet", "ph"}),
}


_Value = TypeVar("_Value")


class Passage(NamedTuple):
    """Text to be said in one way: factors of tempo, pitch and loudness, after a pause in seconds.

    *said* are words of it for which the document gives the pronunciation, in IPA.
    """

    text: str
    pause: float = 0.0
    speed: float = 1.0
    pitch: float = 1.0
    volume: float = 1.0
    said: Mapping[str, str] = {}


class _Delivery(NamedTuple):
    speed: float = 1.0
    pitch: float = 1.0
    volume: float = 1.0


class _Open(NamedTuple):
    """An element that has begun; *words* is where the text inside it begins."""

    name: str
    attributes: Mapping[str, str]
    manner: _Delivery
    words: int


def passages(document: str, is_known: Callable[[str], bool]) -> list[Passage]:
    """Return the passages of *document*; *is_known* answers for a language code.

    Raises InvalidInput for what is not SSML, or is not supported.
    """
    return _Parser(is_known).parse(document)


class _Parser:
    def __init__(self, is_known: Callable[[str], bool]) -> None:
        self._is_known = is_known
        self._open: list[_Open] = []
        self._elements = 0
        self._words: list[str] = []
        self._said: dict[str, str] = {}
        self._pause = 0.0
        self._passages: list[Passage] = []

    def parse(self, document: str) -> list[Passage]:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        parser.StartElementHandler = self._begin
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        try:
            parser.Parse(document.strip().encode(), True)
        except expat.ExpatError as exc:
            raise InvalidInput(f"is not well-formed SSML: {exc}", field="text") from exc
        if self._pause:
            self._passages.append(Passage("", self._pause))
        return self._passages

    def _refuse_doctype(self, *_: object) -> None:
        raise InvalidInput("SSML must not have a document type", field="text")

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        self._check(name, attributes)
        inside = self._open[-1] if self._open else None
        manner = inside.manner if inside else _Delivery()
        if name in {"p", "s", "prosody", "emphasis", "break"}:
            self._flush()
        if name == "break":
            self._pause += _break(attributes)
            if self._pause > MAX_PAUSE_SECONDS:
                raise InvalidInput(
                    f"breaks in a row may last at most {MAX_PAUSE_SECONDS:g} s together",
                    field="text",
                )
        elif name == "p" and self._passages:
            self._pause += PARAGRAPH_SECONDS
        elif name == "prosody":
            manner = _changed(manner, attributes)
        elif name == "emphasis":
            level = attributes.get("level", "moderate")
            speed, volume = _one_of(_EMPHASES, "emphasis level", level)
            manner = manner._replace(speed=manner.speed * speed, volume=manner.volume * volume)
        self._open.append(_Open(name, attributes, manner, len(self._words)))

    def _check(self, name: str, attributes: dict[str, str]) -> None:
        if name not in _ATTRIBUTES:
            expected = ", ".join(sorted(_ATTRIBUTES))
            raise InvalidInput(
                f"<{name}> is not supported; expected one of: {expected}", field="text"
            )
        if (name == "speak") != (not self._open):
            raise InvalidInput(
                "SSML must be one <speak> element, with no other inside it", field="text"
            )
        for attribute, value in attributes.items():
            if attribute not in _ATTRIBUTES[name]:
                raise InvalidInput(f"{attribute} of <{name}> is not supported", field="text")
            if attribute == "xml:lang" and not self._is_known(value):
                raise InvalidInput(f"xml:lang: the voice does not speak {value}", field="text")
        inside = self._open[-1].name if self._open else ""
        if inside in {"say-as", "sub", "phoneme", "break"}:
            raise InvalidInput(f"<{inside}> must not contain other elements", field="text")
        if self._elements > MAX_ELEMENTS or len(self._open) >= MAX_DEPTH:
            raise InvalidInput(
                f"SSML may have at most {MAX_ELEMENTS} elements, nested at most {MAX_DEPTH} deep",
                field="text",
            )

    def _text(self, text: str) -> None:
        if self._open[-1].name == "break" and text.strip():
            raise InvalidInput("<break> must not contain text", field="text")
        self._words.append(text)

    def _end(self, name: str) -> None:
        element = self._open.pop()
        inner = "".join(self._words[element.words :])
        if name in {"say-as", "sub", "phoneme"}:
            self._words[element.words :] = [self._inline(element, inner)]
        if name in {"p", "s"} and self._words and inner.rstrip()[-1:].isalnum():
            self._words.append(".")
        if name in {"p", "s", "prosody", "emphasis", "speak"}:
            self._flush(element.manner)

    def _inline(self, element: _Open, inner: str) -> str:
        given = element.attributes
        if element.name == "sub":
            return _needed(element, "alias")
        if element.name == "phoneme":
            if given.get("alphabet", "ipa") != "ipa":
                raise InvalidInput("alphabet of <phoneme>: must be ipa", field="text")
            if not inner.strip():
                raise InvalidInput("<phoneme> must hold the word that it is for", field="text")
            self._said[" ".join(inner.split())] = _needed(element, "ph")
            return inner
        try:
            return said_as(inner, _needed(element, "interpret-as"), given.get("format"))
        except ValueError as exc:
            raise InvalidInput(f"<say-as>: {exc}", field="text") from exc

    def _flush(self, manner: _Delivery | None = None) -> None:
        """End the passage that is open."""
        text = " ".join("".join(self._words).split())
        self._words.clear()
        if not text:
            return
        manner = manner or (self._open[-1].manner if self._open else _Delivery())
        said, self._said = self._said, {}
        self._passages.append(Passage(text, self._pause, *manner, said=said))
        self._pause = 0.0


def _needed(element: _Open, attribute: str) -> str:
    value = element.attributes.get(attribute, "").strip()
    if not value:
        raise InvalidInput(f"<{element.name}> needs {attribute}", field="text")
    return value


def _break(attributes: Mapping[str, str]) -> float:
    """Return the seconds of a <break>."""
    if "time" not in attributes:
        return _one_of(_BREAKS, "strength of <break>", attributes.get("strength", "medium"))
    found = _TIME.fullmatch(attributes["time"].strip())
    if found is None:
        raise InvalidInput(
            f"time of <break>: must look like 500ms or 1.5s, not {attributes['time']}", field="text"
        )
    seconds = float(found[1]) / (1000 if found[2] == "ms" else 1)
    if seconds > MAX_BREAK_SECONDS:
        raise InvalidInput(
            f"time of <break>: must be at most {MAX_BREAK_SECONDS:g} seconds", field="text"
        )
    return seconds


def _changed(manner: _Delivery, attributes: Mapping[str, str]) -> _Delivery:
    speed = _factor(attributes, "rate", _RATES) * manner.speed
    pitch = _factor(attributes, "pitch", _PITCHES) * manner.pitch
    volume = _factor(attributes, "volume", _VOLUMES) * manner.volume
    for name, factor in (("rate", speed), ("pitch", pitch)):
        if not LEAST <= factor <= MOST:
            raise InvalidInput(
                f"{name} of <prosody>: must be {LEAST:g} to {MOST:g} times the voice's own",
                field="text",
            )
    if not QUIETEST <= volume <= LOUDEST:
        raise InvalidInput(
            f"volume of <prosody>: must be {QUIETEST:g} to {LOUDEST:g} times the voice's own",
            field="text",
        )
    return _Delivery(speed, pitch, volume)


def _factor(attributes: Mapping[str, str], name: str, words: Mapping[str, float]) -> float:
    """Return the factor that an attribute of <prosody> stands for.

    It is a word, a percentage, semitones (pitch), decibels (volume), or a plain factor (rate).
    """
    written = attributes.get(name, "medium").strip()
    if written in words:
        return words[written]
    found = _NUMBER.fullmatch(written)
    if found is None:
        raise _no_factor(name, written, words)
    sign, digits, unit = found.groups()
    number = float(digits) * (-1 if sign == "-" else 1)
    if unit == "%":
        return 1 + number / 100 if sign else number / 100
    if unit == "st" and name == "pitch" and sign:
        return float(2 ** (number / 12))
    if unit == "dB" and name == "volume" and sign:
        return float(10 ** (number / 20))
    if not unit and not sign and name == "rate":
        return number
    raise _no_factor(name, written, words)


def _no_factor(name: str, written: str, words: Mapping[str, float]) -> InvalidInput:
    more = {"rate": "80% or 1.2", "pitch": "+10% or -2st", "volume": "80% or +6dB"}[name]
    known = ", ".join(words)
    return InvalidInput(
        f"{name} of <prosody>: must be {known}, or look like {more}, not {written}", field="text"
    )


def _one_of(words: Mapping[str, _Value], what: str, written: str) -> _Value:
    if written not in words:
        raise InvalidInput(
            f"{what}: expected one of: {', '.join(words)}; got {written}", field="text"
        )
    return words[written]

"""The emotion that the field `instructions` asks a voice for."""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from sidecar.schemas.synthesis import Emotion

_WORDS: Mapping[Emotion, str] = MappingProxyType(
    {
        "neutral": "neutral neutrally emotionless matter-of-fact monotone monotonous",
        "happy": "happy happily cheerful cheerfully cheery joyful joyfully jolly merry upbeat glad",
        "sad": "sad sadly sorrowful sorrowfully mournful melancholic melancholy gloomy tearful",
        "angry": "angry angrily furious furiously mad enraged irate outraged",
        "excited": "excited excitedly enthusiastic enthusiastically thrilled energetic ecstatic",
        "calm": "calm calmly soothing soothingly relaxed relaxing serene serenely peaceful",
    }
)
_EMOTIONS = {word: emotion for emotion, words in _WORDS.items() for word in words.split()}
_WORD = re.compile(r"[a-z]+(?:[-'’][a-z]+)*")
_NEGATION = re.compile(r"not|no|never|without|avoid|less|neither|nor|stop|.*n['’]t")
_REACH = 4  # words after a negation that it applies to
_CLAUSE = re.compile(r"[.;:!?,\n]| but | rather | instead ")


def emotion_of(instructions: str) -> Emotion | None:
    """Return the emotion that *instructions* ask for, or None if it is not exactly one.

    "Speak in a cheerful tone" asks for happy; "don't sound sad" asks for none.  "Begin sadly, end
    happily" asks for two, which one request cannot express.
    """
    clauses = _CLAUSE.split(f" {instructions.lower()} ")
    asked = {emotion for clause in clauses for emotion in _emotions_in(_WORD.findall(clause))}
    return asked.pop() if len(asked) == 1 else None


def _emotions_in(words: list[str]) -> Iterator[Emotion]:
    """Yield the emotions named in *words*, a clause, except those that are negated."""
    for place, word in enumerate(words):
        denied = any(map(_NEGATION.fullmatch, words[max(place - _REACH, 0) : place]))
        if word in _EMOTIONS and not denied:
            yield _EMOTIONS[word]

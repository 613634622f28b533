"""What a script becomes in a job."""

from itertools import islice
from typing import Any, NamedTuple

import torch

from synthesis_kit.text.script import TimedPart
from synthesis_kit.word_times import SpokenWord

MOST_SCRIPTS, MOST_WORDS, LONGEST_WORD = 8, 10, 40  # that are named as left out


class Unspoken(NamedTuple):
    """A script's parts, to be asked for one by one."""

    parts: list[TimedPart]
    left_out: dict[str, list[str]]


class Spoken(NamedTuple):
    """Samples; what of the text is not in them, words by their scripts; and when its words are
    spoken, None where nobody asked."""

    samples: torch.Tensor
    left_out: dict[str, list[str]]
    words: list[SpokenWord] | None = None


def told(outcome: Spoken | Unspoken) -> dict[str, Any]:
    """The answer's parameters about words: their times, and what was left out: a few words of
    each script, for the answer's head is small."""
    parameters: dict[str, Any] = {}
    if outcome.left_out:
        parameters["left_out"] = {
            name: [word[:LONGEST_WORD] for word in words[:MOST_WORDS]]
            for name, words in islice(outcome.left_out.items(), MOST_SCRIPTS)
        }
    if isinstance(outcome, Spoken) and outcome.words is not None:
        parameters["words"] = outcome.words
    return parameters

"""What a job answers for a script: its audio, or the parts to ask for."""

from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple

import torch

from synthesis_kit.text.script import TimedPart
from synthesis_kit.word_times import SpokenWord

MOST_SCRIPTS, MOST_WORDS, LONGEST_WORD = 8, 10, 40  # that are named as left out


class UnspokenScript(NamedTuple):
    """A script's parts, to be asked for one by one."""

    parts: list[TimedPart]
    left_out: dict[str, list[str]]


class SpokenScript(NamedTuple):
    """A script's samples.

    *left_out* are words of the text that are not in them, by writing system; *words* says when each
    word is spoken, and is None where nobody asked.  *rest* is what is still to be asked for, where
    these are only the beginning.
    """

    samples: torch.Tensor
    left_out: dict[str, list[str]]
    words: list[SpokenWord] | None = None
    rest: Sequence[TimedPart] = ()


def answer_parameters(outcome: SpokenScript | UnspokenScript) -> dict[str, Any]:
    """Return the answer's parameters: words' times, what was left out, and what is still to come.

    Of each writing system only a few words are named, since the answer's header is small.
    """
    parameters: dict[str, Any] = {}
    if outcome.left_out:
        parameters["left_out"] = {
            name: [word[:LONGEST_WORD] for word in words[:MOST_WORDS]]
            for name, words in islice(outcome.left_out.items(), MOST_SCRIPTS)
        }
    if isinstance(outcome, SpokenScript) and outcome.words is not None:
        parameters["words"] = outcome.words
    if isinstance(outcome, SpokenScript) and outcome.rest:
        parameters["rest"] = outcome.rest
    return parameters

"""Tokens that were given labels, and what several of them name together."""

from collections.abc import Callable, Iterator, Sequence

import msgspec
import torch

from text_kit.scores import short

OUTSIDE = "O"  # the label of a token that names nothing


class Entity(msgspec.Struct, frozen=True, kw_only=True):
    """*start* and *end* count characters of the text, the end not included."""

    entity: str
    score: float
    word: str
    start: int
    end: int


def together(tokens: Sequence[Entity], joined: Callable[[list[str]], str]) -> Iterator[Entity]:
    """What neighbours of one tag name, as transformers' strategy "simple" has it.

    B- begins another one, I- and labels without either go on.  The score is the mean.
    """
    group: list[Entity] = []
    for token in tokens:
        if group and (_begins(token) or _tag(token) != _tag(group[-1])):
            yield _merged(group, joined)
            group = []
        group.append(token)
    if group:
        yield _merged(group, joined)


def _merged(group: list[Entity], joined: Callable[[list[str]], str]) -> Entity:
    return Entity(
        entity=group[0].entity.split("-", 1)[-1],
        score=short(torch.tensor([token.score for token in group]).mean(0, keepdim=True))[0],
        word=joined([token.word for token in group]),
        start=group[0].start,
        end=group[-1].end,
    )


def _begins(token: Entity) -> bool:
    return token.entity.startswith("B-")


def _tag(token: Entity) -> str:
    return token.entity[2:] if token.entity.startswith(("B-", "I-")) else token.entity

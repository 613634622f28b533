"""A cloned voice as numbers: given with a request, or computed from audio."""

import base64
import binascii
import math
from typing import Protocol

from handler_kit.errors import InvalidInput

Embedding = tuple[float, ...]


class Cloning(Protocol):
    """How a network takes a voice other than its own; a voice has *size* numbers."""

    size: int

    @property
    def hears(self) -> bool:
        """Whether it can take a voice from audio; not every checkpoint has the network for that."""

    def heard(self, wav: bytes) -> Embedding:
        """Return the voice in a WAV file.  Raises InvalidInput."""


def chosen_voice(
    cloning: Cloning | None, embedding: Embedding | None, reference_audio: str | None
) -> Embedding | None:
    """Return the voice that a request brings; None where it brings none.

    *reference_audio* is a WAV file in base64.  Raises InvalidInput naming the parameter.
    """
    if embedding is None and reference_audio is None:
        return None
    name = "speaker_embedding" if embedding is not None else "reference_audio"
    if cloning is None:
        raise InvalidInput("this model cannot imitate voices; leave it out", field=name)
    if embedding is not None:
        if reference_audio is not None:
            raise InvalidInput(
                "give either this or reference_audio, not both", field="speaker_embedding"
            )
        return _checked(embedding, cloning.size)
    if not cloning.hears:
        raise InvalidInput(
            "this checkpoint has no x-vector network; give speaker_embedding instead",
            field="reference_audio",
        )
    return cloning.heard(_decoded(reference_audio or ""))


def _checked(embedding: Embedding, size: int) -> Embedding:
    if len(embedding) != size:
        raise InvalidInput(
            f"must have {size} numbers, not {len(embedding)}", field="speaker_embedding"
        )
    if not all(map(math.isfinite, embedding)) or not any(embedding):
        raise InvalidInput(
            "must be finite numbers that are not all zero", field="speaker_embedding"
        )
    return embedding


def _decoded(reference_audio: str) -> bytes:
    try:
        return base64.b64decode(reference_audio.rpartition("base64,")[2], validate=True)
    except (binascii.Error, ValueError) as exc:
        raise InvalidInput("is not valid base64", field="reference_audio") from exc

"""OpenAI's names of models and voices, as aliases of those in the catalog.

If a model or a voice of the catalog has such a name itself, it is the one that is meant.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

from sidecar.catalog.catalog import Catalog

SPEAKING = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")
LISTENING = (
    "whisper-1",
    "gpt-transcribe",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-transcribe-diarize",
)
EMBEDDING = ("text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002")
WRITING = (
    "gpt-3.5-turbo",
    "gpt-3.5-turbo-instruct",
    "gpt-4",
    "gpt-4-turbo",
    "gpt-4o",
    "gpt-4o-mini",
    "gpt-4.1",
    "gpt-4.1-mini",
    "gpt-4.1-nano",
    "gpt-5",
    "gpt-5-mini",
    "gpt-5-nano",
)
RANKING = (
    "rerank-v3.5",
    "rerank-english-v3.0",
    "rerank-multilingual-v3.0",
    "jina-reranker-v2-base-multilingual",
    "jina-reranker-v3",
)
_TASKS: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(SPEAKING, "speech_synthesis")
    | dict.fromkeys(LISTENING, "speech_recognition")
    | dict.fromkeys(EMBEDDING, "embedding")
    | dict.fromkeys(RANKING, "text_ranking")
    | dict.fromkeys(WRITING, "text_generation")
)
_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")

# Chosen by how OpenAI's voices sound.  The first of these voices that the model has is used.
_WOMAN = ("female", "default")
_MAN = ("male", "default")
_VOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "alloy": ("default",),
        "ash": ("warm", *_MAN),
        "ballad": ("warm", *_MAN),
        "cedar": ("deep", *_MAN),
        "coral": _WOMAN,
        "echo": _MAN,
        "fable": ("warm", *_MAN),
        "marin": _WOMAN,
        "nova": ("bright", *_WOMAN),
        "onyx": ("deep", *_MAN),
        "sage": _WOMAN,
        "shimmer": ("bright", *_WOMAN),
        "verse": _MAN,
    }
)
VOICES = tuple(_VOICES)


def model_of(catalog: Catalog, name: str, defaults: Mapping[str, str]) -> str:
    """Return the catalog's name for the model *name*.  OpenAI's names stand for a default model.

    *defaults* has the default models of some tasks; for other tasks it is the first enabled model.
    A name that is not OpenAI's, or that is in the catalog, is returned unchanged.
    """
    task = _task_of(name)
    if task is None or catalog.key_of(name) is not None:
        return name
    if (default := defaults.get(task)) is not None:
        return default
    enabled = (key for key, spec in catalog.items() if spec.enabled and spec.task == task)
    return next(enabled, name)


def voice_of(name: str, voices: tuple[str, ...]) -> str:
    """Return the one of a model's *voices* that the voice *name* stands for.

    A name that is not OpenAI's, or that is one of *voices*, is returned unchanged.
    """
    if name in voices or name not in _VOICES:
        return name
    return next((each for each in _VOICES[name] if each in voices), voices[0])


def _task_of(name: str) -> str | None:
    """Return the task of OpenAI's model *name*, which may end with the date of a snapshot."""
    return _TASKS.get(_SNAPSHOT.sub("", name))

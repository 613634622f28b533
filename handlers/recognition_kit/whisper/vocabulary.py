"""The numbers of a checkpoint's special tokens.

The order is that of ``whisper/tokenizer.py``: text, <|endoftext|>, <|startoftranscript|>,
languages, tasks and the other special tokens, <|notimestamps|>, then the times in steps of 20 ms.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from tokenizers import Tokenizer

from handler_kit.errors import LoadError

SECONDS_PER_TIMESTAMP = 0.02
ENGLISH = "en"
DEFAULT_FIRST_TIMESTAMP = (
    50  # the first segment begins in the first second unless the checkpoint says otherwise
)
_NO_SPEECH = ("<|nospeech|>", "<|nocaptions|>")  # the newer name and the older


class Vocabulary(msgspec.Struct, frozen=True, kw_only=True):
    """Token numbers.  *languages* has those of the languages by code; empty if English only."""

    end: int
    start: int
    previous: int  # precedes an initial prompt
    no_speech: int
    no_timestamps: int
    languages: dict[str, int]
    tasks: dict[str, int]
    never: tuple[int, ...]  # are suppressed everywhere
    never_first: tuple[int, ...]  # are suppressed as the first token: a blank, and the end
    last_first_timestamp: int  # the latest time at which the first segment may begin

    @property
    def multilingual(self) -> bool:
        """Whether the checkpoint knows languages other than English."""
        return bool(self.languages)

    @property
    def first_timestamp(self) -> int:
        """The token of 0.00 s.  It and all later tokens are times."""
        return self.no_timestamps + 1

    def prefix(
        self, language: str, task: str, prompt: Sequence[int], *, timestamps: bool
    ) -> list[int]:
        """Return the tokens that precede the transcript."""
        tokens = [self.previous, *prompt] if prompt else []
        tokens.append(self.start)
        if self.multilingual:
            tokens += [self.languages[language], self.tasks[task]]
        return tokens if timestamps else [*tokens, self.no_timestamps]


def read_vocabulary(tokenizer: Tokenizer, generation: Any, size: int) -> Vocabulary:
    """Return the numbers in *tokenizer* and in *generation*, a checkpoint's generation config.

    *size* is the size of the network's vocabulary.  Raises LoadError.
    """
    end, start = _token(tokenizer, "<|endoftext|>"), _token(tokenizer, "<|startoftranscript|>")
    no_timestamps = _token(tokenizer, "<|notimestamps|>")
    if no_timestamps + 1 >= size:
        raise LoadError("the model has no timestamp tokens")
    languages = getattr(generation, "lang_to_id", None) or {}
    tasks = getattr(generation, "task_to_id", None) or {}
    if languages and not {"transcribe", "translate"} <= tasks.keys():
        raise LoadError("generation_config.json has languages, but no task_to_id")
    suppressed = getattr(generation, "suppress_tokens", None) or []
    blank = getattr(generation, "begin_suppress_tokens", None) or [end]
    latest = getattr(generation, "max_initial_timestamp_index", None)
    special = range(end + 1, no_timestamps + 1)
    return Vocabulary(
        end=end,
        start=start,
        previous=_token(tokenizer, "<|startofprev|>"),
        no_speech=_token(tokenizer, *_NO_SPEECH),
        no_timestamps=no_timestamps,
        languages={name.strip("<|>"): number for name, number in languages.items()},
        tasks=dict(tasks),
        never=tuple(sorted({token for token in suppressed if 0 <= token < size} | {*special})),
        never_first=tuple(token for token in blank if 0 <= token < size),
        last_first_timestamp=DEFAULT_FIRST_TIMESTAMP if latest is None else latest,
    )


def _token(tokenizer: Tokenizer, *names: str) -> int:
    for name in names:
        number = tokenizer.token_to_id(name)
        if number is not None:
            return int(number)
    raise LoadError(f"the tokenizer has no token {names[0]}")

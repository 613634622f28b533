"""Tasks that write a text, token by token."""

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, ClassVar

import msgspec
import torch

from handler_kit.errors import InvalidInput
from handler_kit.job import Item
from handler_kit.pieces import PieceSender
from handler_kit.seeded import seeded
from handler_kit.text_batching import PassSize, cut
from text_kit.checkpoint import TextCheckpoint
from text_kit.generation_settings import (
    GenerationDefaults,
    GenerationParameters,
    GenerationSettings,
    check_new_tokens,
    check_work,
)
from text_kit.options import TextOptions
from text_kit.parameters import parse_parameters
from text_kit.task import TaskOutput
from text_kit.token_rows import TokenRow, padded

PROBED_TOKENS = 4


class Generated(msgspec.Struct, frozen=True):
    """The text that was written."""

    generated_text: str


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """A text as tokens, and how another is to be written; a *probe*'s first logits are kept."""

    text: str
    ids: Sequence[int]
    asked: GenerationParameters
    settings: GenerationSettings
    probe: bool = False


class WritingTask(ABC):
    """A task that writes.  A subclass says how much room a new text has, and what it answers.

    Texts with the same settings share a pass.  One that is drawn goes alone: in a batch the others
    would use up its random numbers.
    """

    parameters: ClassVar[type[GenerationParameters]]
    behind: ClassVar[bool]  # whether the new text follows the given one in one row

    def __init__(self, checkpoint: TextCheckpoint, options: TextOptions) -> None:
        """Raise LoadError where the checkpoint does not fit the task."""
        self.checkpoint = checkpoint
        self.tokenizer = checkpoint.tokenizer
        self.options = options
        self.defaults = GenerationDefaults(
            checkpoint.network, options.default_new_tokens, options.max_seconds
        )
        self.ends = _ends(checkpoint)
        self._prefix = options.prefix if options.prefix is not None else self.own_prefix()

    @abstractmethod
    def room(self, tokens: int) -> int:
        """Return how many tokens can be written for a text of *tokens*."""

    @abstractmethod
    def said(self, prompt: Prompt, written: str) -> str:
        """Return the answer's text."""

    def own_prefix(self) -> str:
        """Return what the checkpoint expects before each text."""
        return ""

    @property
    def network(self) -> torch.nn.Module:
        """The checkpoint's network."""
        network: torch.nn.Module = self.checkpoint.network
        return network

    def read(self, text: str, parameters: dict[str, Any]) -> Prompt:
        """Return the prompt.  Raises InvalidInput."""
        asked = parse_parameters(parameters, self.parameters)
        if not text.strip():
            raise InvalidInput("The text is empty")
        ids = self._ids(text)
        self.checkpoint.check_length(ids)
        room = min(self.room(len(ids)), self.options.max_new_tokens)
        if room < 1:
            raise InvalidInput(
                f"The text has {len(ids)} tokens and leaves no room to write: "
                f"the model takes {self.checkpoint.longest} in all"
            )
        settings = self.defaults.settings(asked, room)
        check_new_tokens(
            settings, self.options.max_new_tokens, self.room(len(ids)), tokens=len(ids)
        )
        check_work(settings, self.options.max_beam_tokens)
        return Prompt(text=text, ids=ids, asked=asked, settings=settings)

    def read_order(self, item: Item, pieces: PieceSender) -> Any:  # noqa: ARG002 - others do
        """Raise InvalidInput: text generation alone writes completions."""
        raise InvalidInput("This model writes no completions")

    def plan(self, inputs: Sequence[Prompt]) -> list[list[int]]:
        """Group by settings, then by length, in passes of at most `max_pass_tokens`."""
        groups: dict[Any, list[int]] = {}
        for place, one in enumerate(inputs):
            key = place if one.settings.do_sample else (one.settings, one.probe)
            groups.setdefault(key, []).append(place)
        return [
            [places[at] for at in members]
            for places in groups.values()
            for members in cut(
                [self._size(inputs[place]) for place in places],
                self.options.max_pass_tokens,
                padded=True,
            )
        ]

    def run(self, network: Any, inputs: Sequence[Prompt]) -> TaskOutput:
        """Return what is written for *inputs*, which have the same settings."""
        settings, device = inputs[0].settings, self.checkpoint.device
        batch = padded(
            [TokenRow(one.ids) for one in inputs],
            self.tokenizer.pad_token_id,
            device,
            left=self.behind,
        )
        chance = seeded(inputs[0].asked.seed, device) if settings.do_sample else nullcontext()
        started = time.monotonic()
        with chance:
            output = network.generate(
                **batch,
                generation_config=self.defaults.config(
                    settings, self.tokenizer.pad_token_id, logits=inputs[0].probe
                ),
            )
        given = batch["input_ids"].shape[1] if self.behind else 1
        late = time.monotonic() - started > self.options.max_seconds
        answers = [
            self._answer(one, ids, late=late)
            for one, ids in zip(inputs, output.sequences[:, given:].tolist(), strict=True)
        ]
        if not inputs[0].probe:
            return TaskOutput(answers, [torch.empty(0)] * len(answers))
        return TaskOutput(answers, list(output.logits[0].float().cpu()))

    def probes(self, texts: Sequence[str]) -> list[Prompt]:
        """Return prompts of *texts* for a few tokens, always the most probable."""
        room = self.checkpoint.longest - PROBED_TOKENS
        asked = self.parameters(num_beams=1, max_new_tokens=PROBED_TOKENS, min_new_tokens=0)
        settings = self.defaults.settings(asked, PROBED_TOKENS)
        return [
            Prompt(
                text=text, ids=self._ids(text)[:room], asked=asked, settings=settings, probe=True
            )
            for text in texts
        ]

    def details(self) -> dict[str, Any]:
        """Return how long a text may be, and what stands before it.

        The loop that writes runs the plain network, whatever was compiled.
        """
        return {"max_length": self.checkpoint.longest, "prefix": self._prefix, "compile": False}

    def _ids(self, text: str) -> Sequence[int]:
        ids: Sequence[int] = self.tokenizer(
            self._prefix + text,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )["input_ids"]
        return ids

    def _size(self, prompt: Prompt) -> PassSize:
        written = prompt.settings.max_new_tokens
        return PassSize(len(prompt.ids) + written, prompt.settings.num_beams)

    def _answer(self, prompt: Prompt, ids: list[int], *, late: bool) -> Generated | InvalidInput:
        """Return the answer.  *late*: whatever had not ended by now was stopped."""
        if late and len(ids) < prompt.settings.max_new_tokens and not self.ends.intersection(ids):
            return InvalidInput(
                f"Writing took longer than {self.options.max_seconds:g} s: "
                "ask for fewer new tokens or beams"
            )
        end = next((at for at, one in enumerate(ids) if one in self.ends), len(ids))
        return Generated(self.said(prompt, self._text(prompt, ids[:end])))

    def _text(self, prompt: Prompt, ids: list[int]) -> str:
        """Return *ids* as text, decoded after the prompt: alone it would lose its first space."""
        before = list(prompt.ids) if self.behind else []
        whole: str = self.tokenizer.decode([*before, *ids], skip_special_tokens=True)
        return whole[len(self.tokenizer.decode(before, skip_special_tokens=True)) :]


def _ends(checkpoint: TextCheckpoint) -> frozenset[int]:
    """Return the tokens that end a text: none, one or several."""
    ends = checkpoint.network.generation_config.eos_token_id
    if ends is None:
        return frozenset()
    return frozenset([ends] if isinstance(ends, int) else ends)

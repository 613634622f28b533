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
    """The generated text."""

    generated_text: str


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """A text as tokens, and how to generate another.  The first logits of a *probe* are kept."""

    text: str
    ids: Sequence[int]
    asked: GenerationParameters
    settings: GenerationSettings
    probe: bool = False


class WritingTask(ABC):
    """A task that writes texts.  A subclass says how long a new text may be, and what to answer.

    Texts with equal settings share a pass.  A sampled text is processed alone, since others in its
    batch would consume its random numbers.
    """

    parameters: ClassVar[type[GenerationParameters]]
    behind: ClassVar[bool]  # whether the new text follows the given one in the same row

    def __init__(self, checkpoint: TextCheckpoint, options: TextOptions) -> None:
        """Raise LoadError if the checkpoint does not suit the task."""
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
        """Return how many tokens can be written for a text of *tokens* tokens."""

    @abstractmethod
    def said(self, prompt: Prompt, written: str) -> str:
        """Return the answer's text."""

    def own_prefix(self) -> str:
        """Return the prefix that the checkpoint expects before each text."""
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

    def read_order(self, item: Item, pieces: PieceSender) -> Any:  # noqa: ARG002 - text generation uses them
        """Raise InvalidInput: only text generation writes completions."""
        raise InvalidInput("This model does not write completions")

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
        """Return the texts for *inputs*, whose settings are equal."""
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
        """Return prompts of *texts* for a few tokens, without sampling."""
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
        """Return the largest length of a text, and its prefix.

        Generation always uses the plain network, not a compiled one.
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
        """Return the answer.  If *late*, texts that had not ended were stopped."""
        if late and len(ids) < prompt.settings.max_new_tokens and not self.ends.intersection(ids):
            return InvalidInput(
                f"Writing took longer than {self.options.max_seconds:g} s; "
                "request fewer new tokens or beams"
            )
        end = next((at for at, one in enumerate(ids) if one in self.ends), len(ids))
        return Generated(self.said(prompt, self._text(prompt, ids[:end])))

    def _text(self, prompt: Prompt, ids: list[int]) -> str:
        """Return *ids* as text, decoded after the prompt so that a first space is kept."""
        before = list(prompt.ids) if self.behind else []
        whole: str = self.tokenizer.decode([*before, *ids], skip_special_tokens=True)
        return whole[len(self.tokenizer.decode(before, skip_special_tokens=True)) :]


def _ends(checkpoint: TextCheckpoint) -> frozenset[int]:
    """Return the tokens that end a text; there may be none or several."""
    ends = checkpoint.network.generation_config.eos_token_id
    if ends is None:
        return frozenset()
    return frozenset([ends] if isinstance(ends, int) else ends)

"""Runs a transformer on batches of texts, as token ids, packed or padded.

Both forms return the hidden states of each text's own tokens only, so that pooling is the same.
"""

import heapq
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple, Protocol

import torch

from handler_kit.packed_attention import PackedAttention
from handler_kit.threads import each_on_one_thread

Tokens = Sequence[int]
SHORTEST_FULL_PAD = 16  # texts of up to so many tokens are padded to one length
SMALLEST_ROW = 64  # tokens; with fewer, a second row costs as much as a second thread saves
MOST_ROWS = 4  # at once; with more, threads would wait for each other to run Python


class PassSize(NamedTuple):
    """The share of an input in a pass: *rows* of *length* tokens."""

    length: int
    rows: int = 1


class Hidden(NamedTuple):
    """The concatenated hidden states of several texts, [tokens, size], and the texts' lengths."""

    states: torch.Tensor
    lengths: torch.Tensor


class Batching(Protocol):
    """A way to process texts of different lengths in one pass."""

    name: str

    def groups(self, texts: Sequence[Tokens], max_tokens: int) -> list[list[int]]:
        """Return the indices of the texts in each pass of at most *max_tokens*, shortest first."""

    def run(self, model: Any, texts: Sequence[Tokens], device: torch.device) -> Hidden:
        """Run one forward pass."""


class PackedBatching:
    """Texts in rows without padding, in which positions restart with each text.

    On a CPU each thread runs a row of its own.  Threads that share one wait for each other at every
    operation, which on two cores takes MiniLM 1.2 times as long for texts of mixed lengths, and
    longer while another process uses a core.  On a GPU, with more than MOST_ROWS threads, and if
    *one_row* is true, all texts are in one row.
    """

    name = "packed"

    def __init__(
        self, attention: PackedAttention, first_position: int = 0, *, one_row: bool = False
    ) -> None:
        self.attention = attention
        self.first_position = first_position
        self.one_row = one_row

    def groups(self, texts: Sequence[Tokens], max_tokens: int) -> list[list[int]]:
        """Begin a new pass when one is full."""
        return cut([PassSize(len(text)) for text in texts], max_tokens, padded=False)

    def run(self, model: Any, texts: Sequence[Tokens], device: torch.device) -> Hidden:
        """Run one row, or several at once."""
        lengths = [len(text) for text in texts]
        rows = dealt(lengths, self._most_rows(device))
        if len(rows) == 1:
            return self._run_row(model, texts, device)

        def run_one(places: Sequence[int]) -> dict[int, torch.Tensor]:
            row = self._run_row(model, [texts[place] for place in places], device)
            states = torch.split(row.states, row.lengths.tolist())
            return dict(zip(places, states, strict=True))

        states: dict[int, torch.Tensor] = {}
        for own in each_on_one_thread(run_one, rows):
            states |= own
        return Hidden(
            torch.cat([states[place] for place in range(len(texts))]),
            torch.tensor(lengths, device=device),
        )

    def _most_rows(self, device: torch.device) -> int:
        threads = torch.get_num_threads()
        return 1 if self.one_row or device.type != "cpu" or threads > MOST_ROWS else threads

    def _run_row(self, model: Any, texts: Sequence[Tokens], device: torch.device) -> Hidden:
        """Run one row, [1, tokens]."""
        lengths = [len(text) for text in texts]
        first = self.first_position
        positions = chain.from_iterable(range(first, first + length) for length in lengths)
        with self.attention.packing(lengths):
            output = model(
                input_ids=torch.tensor([list(chain.from_iterable(texts))], device=device),
                position_ids=torch.tensor([list(positions)], device=device),
            )
        return Hidden(output.last_hidden_state[0], torch.tensor(lengths, device=device))


class PaddedBatching:
    """One row per text, padded to the longest; no text to more than twice its length."""

    name = "padded"

    def __init__(self, pad_token: int) -> None:
        self.pad_token = pad_token

    def groups(self, texts: Sequence[Tokens], max_tokens: int) -> list[list[int]]:
        """Begin a new pass when one is full, with padding, or padding would double a text."""
        return cut([PassSize(len(text)) for text in texts], max_tokens, padded=True)

    def run(self, model: Any, texts: Sequence[Tokens], device: torch.device) -> Hidden:
        """Run rows [texts, longest] with a mask."""
        lengths = torch.tensor([len(text) for text in texts], device=device)
        longest = max(len(text) for text in texts)
        rows = [[*text, *[self.pad_token] * (longest - len(text))] for text in texts]
        mask = torch.arange(longest, device=device) < lengths[:, None]
        output = model(
            input_ids=torch.tensor(rows, device=device), attention_mask=mask.to(torch.int64)
        )
        return Hidden(output.last_hidden_state[mask], lengths)


def pool(hidden: Hidden, modes: Sequence[str]) -> torch.Tensor:
    """Return one vector per text, float32 [texts, modes * size], like sentence-transformers."""
    return torch.cat([_POOLS[mode](hidden) for mode in modes], dim=1)


def _pool_mean(hidden: Hidden) -> torch.Tensor:
    return torch.segment_reduce(hidden.states.float(), "mean", lengths=hidden.lengths, axis=0)


def _pool_max(hidden: Hidden) -> torch.Tensor:
    return torch.segment_reduce(hidden.states.float(), "max", lengths=hidden.lengths, axis=0)


def _pool_mean_sqrt(hidden: Hidden) -> torch.Tensor:
    """Return the sum of the states divided by the square root of their number."""
    return _pool_mean(hidden) * hidden.lengths.sqrt()[:, None]


def _pool_weighted(hidden: Hidden) -> torch.Tensor:
    """Return the mean in which the first token counts once, the second twice, and so on."""
    firsts = torch.repeat_interleave(hidden.lengths.cumsum(0) - hidden.lengths, hidden.lengths)
    weights = torch.arange(1, len(firsts) + 1, device=firsts.device) - firsts
    weighted = Hidden(hidden.states.float() * weights[:, None], hidden.lengths)
    return _pool_mean(weighted) * 2 / (hidden.lengths + 1)[:, None]


def _pool_first(hidden: Hidden) -> torch.Tensor:
    starts = hidden.lengths.cumsum(0) - hidden.lengths
    return hidden.states[starts].float()


def _pool_last(hidden: Hidden) -> torch.Tensor:
    return hidden.states[hidden.lengths.cumsum(0) - 1].float()


_POOLS: dict[str, Callable[[Hidden], torch.Tensor]] = {
    "cls": _pool_first,
    "max": _pool_max,
    "mean": _pool_mean,
    "mean_sqrt_len_tokens": _pool_mean_sqrt,
    "weightedmean": _pool_weighted,
    "lasttoken": _pool_last,
}


def dealt(lengths: Sequence[int], most: int) -> list[list[int]]:
    """Return the indices of *lengths* in at most *most* rows with about the same sum, in order.

    There are fewer, down to one, if rows would be small, or one text is as long as several of them.
    """
    total = sum(lengths)
    count = max(1, min(most, total // SMALLEST_ROW, round(total / max(*lengths, 1))))
    rows: list[list[int]] = [[] for _ in range(count)]
    sums = [(0, row) for row in range(count)]
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        shortest, row = sums[0]
        rows[row].append(place)
        heapq.heapreplace(sums, (shortest + lengths[place], row))
    return [sorted(places) for places in rows]


def cut(sizes: Sequence[PassSize], max_tokens: int, *, padded: bool) -> list[list[int]]:
    """Return the indices of *sizes* in groups, shortest first.  One that is too long is alone."""
    return list(_groups(sizes, max_tokens, padded=padded))


def _groups(sizes: Sequence[PassSize], max_tokens: int, *, padded: bool) -> Iterator[list[int]]:
    group: list[int] = []
    rows = tokens = 0
    for place in sorted(range(len(sizes)), key=lambda place: sizes[place].length):
        length, own = sizes[place]
        tokens = length * (rows + own) if padded else tokens + length * own
        doubles = padded and group and length > 2 * max(sizes[group[0]].length, SHORTEST_FULL_PAD)
        if group and (tokens > max_tokens or doubles):
            yield group
            group, rows, tokens = [], 0, length * own
        group.append(place)
        rows += own
    if group:
        yield group

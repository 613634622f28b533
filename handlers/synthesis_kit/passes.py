"""Speaks many utterances in few passes: those of like lengths together, to waste little padding."""

from collections.abc import Sequence

import torch
from torch import Tensor

from handler_kit.threads import each_on_one_thread
from synthesis_kit.utterance import SynthesisNetwork, Utterance

PASSES_PER_THREAD = 2  # at least, so that no thread ends long before the others
LONGEST_BY_SHORTEST = 1.25  # in one pass; beyond it a CPU loses more to padding than it gains


def speak_all(
    network: SynthesisNetwork, utterances: Sequence[Utterance], max_symbols: int
) -> list[Tensor]:
    """Return each utterance's samples, in order; a pass has at most *max_symbols*, padded.

    Where the network allows it, passes run side by side on the worker's threads, the longest first.
    """
    lengths = [network.length(each) for each in utterances]
    threads = torch.get_num_threads() if network.speaks_side_by_side else 1
    if threads > 1 and lengths:
        share = sum(lengths) // (PASSES_PER_THREAD * threads)
        max_symbols = min(max_symbols, max(share, *lengths))
    groups = _groups(sorted(range(len(lengths)), key=lengths.__getitem__), lengths, max_symbols)
    groups.sort(key=lambda group: -sum(lengths[place] for place in group))

    def speak(group: list[int]) -> list[Tensor]:
        return network.speak([utterances[place] for place in group])

    passes = each_on_one_thread(speak, groups) if threads > 1 else [speak(each) for each in groups]
    spoken = {
        place: audio
        for group, audios in zip(groups, passes, strict=True)
        for place, audio in zip(group, audios, strict=True)
    }
    return [spoken[place] for place in range(len(utterances))]


def _groups(places: Sequence[int], lengths: Sequence[int], max_symbols: int) -> list[list[int]]:
    """Return *places*, shortest first, in groups of like lengths within *max_symbols* padded."""
    groups: list[list[int]] = []
    for place in places:
        group = groups[-1] if groups else []
        fits = (len(group) + 1) * lengths[place] <= max_symbols
        if group and fits and lengths[place] <= LONGEST_BY_SHORTEST * lengths[group[0]]:
            group.append(place)
        else:
            groups.append([place])
    return groups

"""Which utterances go through the network together, and which side by side."""

from collections.abc import Sequence

from torch import Tensor

from synthesis_kit.utterance import SynthesisNetwork, Utterance

LONGEST_BY_SHORTEST = 1.25  # in one pass; beyond it a CPU loses more to padding than it gains


def speak_all(
    network: SynthesisNetwork, utterances: Sequence[Utterance], max_symbols: int
) -> list[Tensor]:
    """Return each utterance's samples, in order; a pass has at most *max_symbols*, padded.

    Those of like lengths share a pass, to waste little padding.  A network that speaks side by side
    is given all at once, the longest first, so that no thread is left with a long one at the end.
    """
    lengths = [network.length(each) for each in utterances]
    shortest_first = sorted(range(len(lengths)), key=lengths.__getitem__)
    if network.speaks_side_by_side:
        groups = [shortest_first[::-1]]
    else:
        groups = _groups(shortest_first, lengths, max_symbols)
    spoken = {
        place: audio
        for group in groups
        for place, audio in zip(
            group, network.speak([utterances[place] for place in group]), strict=True
        )
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

"""Many utterances in few passes: alike in length, so that padding wastes little."""

from collections.abc import Sequence

from torch import Tensor

from synthesis_kit.utterance import SynthesisNetwork, Utterance

LONGEST_BY_SHORTEST = 1.25  # in one pass; beyond it a CPU loses more to padding than it gains


def speak_all(
    network: SynthesisNetwork, utterances: Sequence[Utterance], max_symbols: int
) -> list[Tensor]:
    """Each utterance's samples, in order; a pass holds at most *max_symbols*, with padding."""
    places = sorted(range(len(utterances)), key=lambda place: network.length(utterances[place]))
    spoken: dict[int, Tensor] = {}
    for group in _groups(places, [network.length(each) for each in utterances], max_symbols):
        audio = network.speak([utterances[place] for place in group])
        spoken.update(zip(group, audio, strict=True))
    return [spoken[place] for place in range(len(utterances))]


def _groups(places: Sequence[int], lengths: Sequence[int], max_symbols: int) -> list[list[int]]:
    """*places*, shortest first, in groups of like lengths that stay within *max_symbols* padded."""
    groups: list[list[int]] = []
    for place in places:
        group = groups[-1] if groups else []
        fits = (len(group) + 1) * lengths[place] <= max_symbols
        if group and fits and lengths[place] <= LONGEST_BY_SHORTEST * lengths[group[0]]:
            group.append(place)
        else:
            groups.append([place])
    return groups

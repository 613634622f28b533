"""Many utterances in few passes: alike in length, so that padding wastes little."""

from collections.abc import Sequence

from torch import Tensor

from synthesis_kit.utterance import SpeechNetwork, Utterance


def speak_all(
    network: SpeechNetwork, utterances: Sequence[Utterance], max_symbols: int
) -> list[Tensor]:
    """Each utterance's samples, in order; a pass holds at most *max_symbols*, with padding."""
    places = sorted(range(len(utterances)), key=lambda place: network.length(utterances[place]))
    spoken: dict[int, Tensor] = {}
    for group in _groups(places, [network.length(each) for each in utterances], max_symbols):
        audio = network.speak([utterances[place] for place in group])
        spoken.update(zip(group, audio, strict=True))
    return [spoken[place] for place in range(len(utterances))]


def _groups(places: Sequence[int], lengths: Sequence[int], max_symbols: int) -> list[list[int]]:
    """*places*, shortest first, in groups whose padded size stays within *max_symbols*."""
    groups: list[list[int]] = []
    for place in places:
        fits = groups and (len(groups[-1]) + 1) * lengths[place] <= max_symbols
        if fits:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups

"""Where speech is: a table of probabilities and stretches."""

from hypothesis import given
from hypothesis import strategies as st

from sidecar.speech.segmentation import (
    LONGEST_FRAMES,
    PAD_FRAMES,
    PAUSE_FRAMES,
    SHORTEST_FRAMES,
    Segmenter,
    Stretch,
)

SPEECH, SILENCE = 0.9, 0.02


def stretches(probabilities: list[float], piece: int = 10_000) -> list[Stretch]:
    segmenter = Segmenter()
    found: list[Stretch] = []
    for start in range(0, len(probabilities), piece):
        found += segmenter.feed(probabilities[start : start + piece])
    return found + segmenter.finish()


def test_silence_has_no_speech() -> None:
    assert stretches([SILENCE] * 5000) == []


def test_a_click_is_no_speech() -> None:
    assert stretches([SILENCE] * 50 + [SPEECH] * (SHORTEST_FRAMES - 1) + [SILENCE] * 200) == []


def test_speech_is_found_with_a_margin_around_it() -> None:
    found = stretches([SILENCE] * 100 + [SPEECH] * 50 + [SILENCE] * 200)
    assert found == [Stretch(100 - PAD_FRAMES, 150 + PAD_FRAMES)]


def test_the_margin_ends_where_the_audio_ends() -> None:
    assert stretches([SPEECH] * 50 + [SILENCE] * 2) == [Stretch(0, 52)]


def test_speech_continues_at_a_lower_threshold_than_it_begins() -> None:
    assert stretches([0.4] * 100) == []
    assert stretches([SPEECH] * 10 + [0.4] * 100) == [Stretch(0, 110)]


def test_a_short_pause_stays_inside_and_a_long_one_parts() -> None:
    talk = [SPEECH] * 50
    assert len(stretches(talk + [SILENCE] * PAUSE_FRAMES + talk)) == 1
    assert len(stretches(talk + [SILENCE] * (PAUSE_FRAMES + 1) + talk)) == 2


def test_a_stretch_that_is_too_long_is_cut_where_speech_is_least_likely() -> None:
    probabilities = [SPEECH] * (LONGEST_FRAMES + 300)
    probabilities[LONGEST_FRAMES - 100] = 0.45
    first, second = stretches(probabilities)
    assert first == Stretch(0, LONGEST_FRAMES - 100 + 1)
    assert second == Stretch(first.end, len(probabilities))


mixed = st.lists(
    st.tuples(st.sampled_from([SPEECH, SILENCE, 0.4, 0.6]), st.integers(1, 400)), max_size=25
)


@given(mixed, st.integers(1, 900))
def test_pieces_give_what_the_whole_gives(runs: list[tuple[float, int]], piece: int) -> None:
    probabilities = [value for value, count in runs for _ in range(count)]
    assert stretches(probabilities, piece) == stretches(probabilities)


@given(mixed)
def test_stretches_are_in_order_apart_bounded_and_inside(runs: list[tuple[float, int]]) -> None:
    probabilities = [value for value, count in runs for _ in range(count)]
    floor = 0
    for start, end in stretches(probabilities):
        assert floor <= start < end <= len(probabilities)
        assert end - start <= LONGEST_FRAMES + 2 * PAD_FRAMES
        floor = end


@given(mixed)
def test_no_long_speech_is_lost(runs: list[tuple[float, int]]) -> None:
    probabilities = [value for value, count in runs for _ in range(count)]
    kept = {place for start, end in stretches(probabilities) for place in range(start, end)}
    run: list[int] = []
    for place, value in enumerate([*probabilities, SILENCE]):
        if value == SPEECH:
            run.append(place)
            continue
        if len(run) >= SHORTEST_FRAMES:
            assert kept.issuperset(run)
        run = []


@given(mixed)
def test_frames_that_are_needed_later_are_kept(runs: list[tuple[float, int]]) -> None:
    segmenter, needed = Segmenter(), 0
    for value, count in runs:
        for start, _ in segmenter.feed([value] * count):
            assert start >= needed
        assert segmenter.needed_from >= needed
        needed = segmenter.needed_from
    for start, _ in segmenter.finish():
        assert start >= needed


def test_an_hour_of_speech_uses_little_memory() -> None:
    segmenter = Segmenter()
    longest = 0
    for block in range(120):
        segmenter.feed([SPEECH] * 937)
        longest = max(longest, (block + 1) * 937 - segmenter.needed_from)
    assert longest <= LONGEST_FRAMES + PAD_FRAMES

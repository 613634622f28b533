"""`scripts/bench streams`: when a player can begin, and when it has nothing to play."""

import numpy as np
import pytest

from benchmarks.parts.streams import needed, playable_of, silence_of
from sidecar.schemas.synthesis import OutputFormat
from sidecar.speech.audio_encoder import StreamEncoder
from sidecar.speech.output_formats import FORMATS


def noise(name: OutputFormat, seconds: float) -> bytes:
    samples = np.random.default_rng(0).normal(0, 4000, round(24000 * seconds)).astype("<i2")
    with StreamEncoder(FORMATS[name], 24000, "high") as encoder:
        return encoder.encode(samples.tobytes()) + encoder.finish()


@pytest.mark.parametrize("name", FORMATS)
def test_a_player_begins_long_before_the_end(name: OutputFormat) -> None:
    data = noise(name, 2.0)
    assert 0 < needed(data, name) < len(data) / 2


@pytest.mark.parametrize("name", FORMATS)
def test_all_of_a_file_can_be_played_when_all_has_come(name: OutputFormat) -> None:
    data = noise(name, 2.0)
    playable = playable_of(data, name)
    assert playable[-1][0] <= len(data)
    assert playable[-1][1] == pytest.approx(2.0, abs=0.15)
    assert playable == sorted(playable)


@pytest.mark.parametrize(
    ("reads", "silence"),
    [
        ([(0.1, 100), (0.9, 200), (1.8, 300)], 0.0),
        ([(0.1, 100), (1.5, 200)], 0.4),
        ([(0.1, 100), (1.5, 200), (3.0, 300)], 0.9),
        ([(0.1, 50), (5.0, 100), (5.5, 200)], 0.0),
        ([(0.1, 300), (9.0, 400)], 5.9),
    ],
)
def test_silence_begins_when_what_has_come_is_played(
    reads: list[tuple[float, int]], silence: float
) -> None:
    playable = [(end, end / 100) for end in (100, 200, 300, 400)]
    assert silence_of(reads, playable) == pytest.approx(silence)

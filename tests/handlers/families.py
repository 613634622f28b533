"""Voices of the hub's families, loaded as an archive has them."""

from pathlib import Path
from typing import Any

import numpy as np

from handler_kit.wav import Samples
from speech_synthesis_handler import SpeechSynthesisHandler
from tests.handlers.loaded import FakeContext, Loaded
from tests.handlers.speaking import farthest, say_all

ROUNDED = 1 / 32768  # 16-bit samples
EQUAL = 1e-3


def load_family(folder: Path, **options: Any) -> Loaded:
    """Load the handler with *folder*'s checkpoint and nothing but *options*."""
    given = {"voices": {"default": {}}} | options
    config = {"options": given, "max_batch_size": 2, "warmup_iterations": 0, "workers": 2}
    return Loaded(SpeechSynthesisHandler(), FakeContext(folder, config))


def check_is(ours: Samples, theirs: Any) -> None:
    """Check that *ours* is *theirs*, transformers' own, but for fades at both ends and 16 bits."""
    expected = np.asarray(theirs).ravel()
    assert len(ours) == len(expected) > 500
    assert np.abs(expected).max() > 20 * EQUAL
    edge = 160  # more than any fade here
    assert farthest(ours[edge:-edge], limited(expected)[edge:-edge]) < EQUAL


def limited(samples: Samples) -> Samples:
    """Bend peaks as `synthesis_kit.audio.amplified` does."""
    beyond = np.clip(np.abs(samples) - 0.9, 0, None)
    bent = (0.9 + 0.1 * np.tanh(beyond / 0.1)) * np.sign(samples)
    return np.where(beyond > 0, bent, samples).astype(np.float32)


def check_batch_is_each_alone(voice: Loaded, *inputs: dict[str, Any]) -> None:
    """Check that one job's answers are those of jobs with one item."""
    together = say_all(voice, *inputs)
    for given, batched in zip(inputs, together, strict=True):
        (alone,) = say_all(voice, given)
        assert farthest(alone, batched) < EQUAL

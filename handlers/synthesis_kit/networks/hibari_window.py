"""Which frames of a breath hibari must compute for a part of it to sound as in the whole.

The text encoders attend to all symbols, but what follows them are convolutions, with norms over
channels alone: a frame depends on few around it.
"""

from typing import NamedTuple

from synthesis_kit.networks.hibari_modules import FRAMES_PER_STEP
from synthesis_kit.networks.hibari_vocoder import HOP
from synthesis_kit.networks.hibari_vocoder import REACH as VOCODER_FRAMES

DECODER_FRAMES = 27  # on either side: nine convolutions of 7
CONTOUR_STEPS = 54  # on either side: 3 × the dilations (1, 2, 4, 8, 1, 2)
RESAMPLER_FRAMES = 6  # so many more where the formants are moved


class Window(NamedTuple):
    """Ranges of a breath's frames, each within the next, and the *steps* that have contours.

    *heard* are wanted, *voiced* go through the vocoder, *decoded* through the acoustic decoder.
    """

    heard: range
    voiced: range
    decoded: range
    steps: int


def window_of(heard: range, total: int, *, is_shifted: bool, is_ranged: bool) -> Window:
    """Return the window for the frames *heard* of a breath of *total* steps.

    *is_shifted*: the formants are moved.  *is_ranged*: the range of the pitch is changed, around a
    mean for which all of the pitch is needed.
    """
    frames = FRAMES_PER_STEP * total
    voiced = _wider(heard, VOCODER_FRAMES + (RESAMPLER_FRAMES if is_shifted else 0), frames)
    decoded = _wider(voiced, DECODER_FRAMES, frames)
    steps = -(-decoded.stop // FRAMES_PER_STEP) + CONTOUR_STEPS
    return Window(heard, voiced, decoded, total if is_ranged else min(total, steps))


def _wider(frames: range, reach: int, total: int) -> range:
    return range(max(0, frames.start - reach), min(total, frames.stop + reach))


def first_resampled(window: Window, formants: float) -> int:
    """Return the sample of the breath, after resampling, with which that of a part may begin.

    Of those between what the vocoder gets wrong and what the resampler needs it is the one that
    lies nearest to a sample before resampling.
    """
    if not window.voiced.start:
        return 0
    sound = window.voiced.start + VOCODER_FRAMES
    samples = range(int(sound * HOP / formants) + 1, int((sound + 2) * HOP / formants))
    return min(samples, key=lambda sample: abs(sample * formants - round(sample * formants)))

"""How an utterance is spoken: factors on a network's own durations, pitch and energy.

An emotion is a set of such factors: happy and excited speech is faster, higher and livelier, sad
speech slower, lower and flatter, angry speech louder and wider in pitch (Scherer 2003, Speech
Communication 40, table 2).
"""

from typing import Literal, NamedTuple

Emotion = Literal["neutral", "happy", "sad", "angry", "excited", "calm"]


class Prosody(NamedTuple):
    """Factors on what a network predicts itself; 1 leaves it as it is.

    *duration* 2 is half as fast; *pitch* 2 is an octave higher; *pitch_range* 0 is monotonous;
    *energy* is added to the logarithm of a sound's loudness, as the network understands it.
    """

    duration: float = 1.0
    pitch: float = 1.0
    pitch_range: float = 1.0
    energy: float = 0.0


EMOTIONS: dict[Emotion, Prosody] = {
    "neutral": Prosody(),
    "happy": Prosody(duration=0.95, pitch=1.08, pitch_range=1.35, energy=0.3),
    "sad": Prosody(duration=1.15, pitch=0.93, pitch_range=0.65, energy=-0.6),
    "angry": Prosody(duration=0.92, pitch=1.03, pitch_range=1.45, energy=0.7),
    "excited": Prosody(duration=0.88, pitch=1.14, pitch_range=1.6, energy=0.6),
    "calm": Prosody(duration=1.1, pitch=0.97, pitch_range=0.8, energy=-0.4),
}

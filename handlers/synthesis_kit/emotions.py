"""Emotions, as factors on a network's own durations, pitch and energy.

Happy and excited speech is faster, higher and livelier, sad speech slower, lower and flatter,
angry speech louder and wider in pitch (Scherer 2003, Speech Communication 40, table 2).
"""

from typing import Literal

from synthesis_kit.utterance import Prosody

Emotion = Literal["neutral", "happy", "sad", "angry", "excited", "calm"]

EMOTIONS: dict[Emotion, Prosody] = {
    "neutral": Prosody(),
    "happy": Prosody(duration=0.95, pitch=1.08, pitch_range=1.35, energy=0.3),
    "sad": Prosody(duration=1.15, pitch=0.93, pitch_range=0.65, energy=-0.6),
    "angry": Prosody(duration=0.92, pitch=1.03, pitch_range=1.45, energy=0.7),
    "excited": Prosody(duration=0.88, pitch=1.14, pitch_range=1.6, energy=0.6),
    "calm": Prosody(duration=1.1, pitch=0.97, pitch_range=0.8, energy=-0.4),
}

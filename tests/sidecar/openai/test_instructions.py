"""Which emotion is meant by the words that people write to OpenAI's voices."""

import pytest

from sidecar.openai.instructions import emotion_of


@pytest.mark.parametrize(
    ("instructions", "emotion"),
    [
        ("Speak in a cheerful and positive tone.", "happy"),
        ("HAPPY", "happy"),
        ("Sound sad, as if you had lost a friend", "sad"),
        ("Voice: angrily shouting at the referee", "angry"),
        ("Affect: an enthusiastic, energetic host", "excited"),
        ("Calm, soothing, and reassuring.", "calm"),
        ("A matter-of-fact newsreader", "neutral"),
    ],
)
def test_an_emotion_that_is_named_is_meant(instructions: str, emotion: str) -> None:
    assert emotion_of(instructions) == emotion


@pytest.mark.parametrize(
    "instructions",
    ["", "Speak slowly, with a French accent.", "Start sad and end happy.", "a saddle, a madam"],
)
def test_several_emotions_or_none_mean_none(instructions: str) -> None:
    assert emotion_of(instructions) is None


@pytest.mark.parametrize(
    ("instructions", "emotion"),
    [
        ("Do not sound sad.", None),
        ("Don't be too cheerful", None),
        ("Never angry", None),
        ("Not sad, but calm", "calm"),
        ("Without being excited: happy", "happy"),
    ],
)
def test_a_negated_emotion_is_ignored(instructions: str, emotion: str | None) -> None:
    assert emotion_of(instructions) == emotion

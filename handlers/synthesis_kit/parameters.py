"""What a client may ask of a voice."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from handler_kit.errors import InvalidInput
from synthesis_kit.prosody import Emotion
from synthesis_kit.text.ipa import MAX_WORDS

Factor = Annotated[float, Meta(ge=0.5, le=2.0)]
Speed = Annotated[float, Meta(ge=0.25, le=4.0)]  # the range of OpenAI's API; /synthesize takes less


class SynthesisParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One text's parameters.  *speed*, *pitch* and *volume* are factors.

    *index*: the input is that sentence of a longer text, and is not cut again; *continued*: it is
    the rest of the sentence before it, and no pause begins it.  *in_parts*: the caller can ask
    again, so an input that does not fit into this job is answered with its script instead of its
    audio; *only_read*: every input is.  *only_beginning*: about the first second is wanted at once,
    and an answer that is not all of it has the rest's script in its parameter `rest`.
    *input_type* "ssml": the text is an SSML document.
    *pronunciations* are words in IPA.  *timestamps*: the answer tells when each word is spoken.
    *speaker_embedding* and *reference_audio* (a WAV file in base64) replace the voice.
    """

    voice: str | None = None
    speed: Speed = 1.0
    pitch: Factor = 1.0
    volume: Annotated[float, Meta(ge=0.1, le=2.0)] = 1.0
    emotion: Emotion | None = None
    seed: Annotated[int, Meta(ge=0, lt=2**62)] = 0
    normalize_text: bool = True
    language: str | None = None
    input_type: Literal["text", "ssml"] = "text"
    pronunciations: Annotated[dict[str, str], Meta(max_length=MAX_WORDS)] = {}
    timestamps: Literal["word"] | None = None
    speaker_embedding: tuple[float, ...] | None = None
    reference_audio: str | None = None
    index: Annotated[int, Meta(ge=0, lt=2**31)] | None = None
    continued: bool = False
    in_parts: bool = False
    only_read: bool = False
    only_beginning: bool = False


def parse_parameters(raw: dict[str, Any], controls: frozenset[str]) -> SynthesisParameters:
    """Return *raw* as parameters for a network that supports *controls*.

    Raises InvalidInput naming the parameter.
    """
    try:
        parameters = msgspec.convert(raw, SynthesisParameters)
    except msgspec.ValidationError as exc:
        raise InvalidInput(str(exc), field="parameters") from exc
    changed = {
        "speed": parameters.speed != 1,
        "pitch": parameters.pitch != 1,
        "emotion": parameters.emotion not in (None, "neutral"),
    }
    for name, wanted in changed.items():
        if wanted and name not in controls:
            raise InvalidInput("this voice does not support it; leave it out", field=name)
    return parameters

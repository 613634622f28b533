"""What `handler_options` may say, as the handlers themselves read them.

The types are those of handlers/, whose modules of options import nothing but msgspec: neither
torch nor a model is loaded for them.
"""

import functools
import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from sidecar.validation import Misfit, explain_misfit

HANDLERS = Path(__file__).resolve().parents[2] / "handlers"
TYPES: Mapping[str, tuple[str, str]] = {  # by handler: module and class
    "tensor_handler": ("handler_kit.options", "TensorOptions"),
    "text_embedding_handler": ("handler_kit.options", "EmbeddingOptions"),
    "text_handler": ("text_kit.options", "TextOptions"),
    "image_handler": ("image_kit.options", "ImageOptions"),
    "speech_synthesis_handler": ("synthesis_kit.options", "SynthesisOptions"),
    "speech_recognition_handler": ("recognition_kit.options", "RecognitionOptions"),
    "voice_activity_handler": ("recognition_kit.options", "VoiceActivityOptions"),
}
FIELD = "handler_options"


def read_options(handler: str, options: Mapping[str, Any]) -> Any | Misfit:
    """Return *options* as *handler* takes them, or what is wrong with them."""
    kind = options_type(handler)
    try:
        return msgspec.convert(dict(options), kind)
    except msgspec.ValidationError as exc:
        misfit = explain_misfit(exc, kind)
        return Misfit((FIELD, *misfit.path), misfit.rule)


@functools.cache
def options_type(handler: str) -> type[msgspec.Struct]:
    """Return the type of *handler*'s options."""
    module, name = TYPES[handler]
    if str(HANDLERS) not in sys.path:  # last, so that no name of theirs hides one of ours
        sys.path.append(str(HANDLERS))
    kind: type[msgspec.Struct] = getattr(importlib.import_module(module), name)
    return kind

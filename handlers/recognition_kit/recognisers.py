"""The recognisers by the `model_type` of their config.json."""

from importlib import import_module
from pathlib import Path

import torch

from handler_kit.errors import LoadError
from handler_kit.model_type import model_type
from recognition_kit.options import RecognitionOptions
from recognition_kit.recogniser import Recogniser

_CLASSES = {
    "whisper": ("whisper.whisper", "WhisperRecogniser"),
    "wav2vec2": ("piecewise.ctc", "CtcRecogniser"),
    "moonshine": ("piecewise.moonshine", "MoonshineRecogniser"),
}


def load_recogniser(folder: Path, device: torch.device, options: RecognitionOptions) -> Recogniser:
    """The recogniser that lies in *folder*, on *device*, from safetensors only.

    Raises LoadError.  Only the one that is wanted is imported.
    """
    family = model_type(folder)
    if family not in _CLASSES:
        raise LoadError(f"{family} is no model that listens; known are {', '.join(_CLASSES)}")
    module, name = _CLASSES[family]
    kind = getattr(import_module(f"recognition_kit.{module}"), name)
    recogniser: Recogniser = kind(folder, device, options)
    return recogniser

"""Loads the network that ``handler_options``, or else the checkpoint, names."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from handler_kit.errors import LoadError
from handler_kit.model_type import model_type
from synthesis_kit.options import TextStageOptions
from synthesis_kit.utterance import SynthesisNetwork

if TYPE_CHECKING:
    from synthesis_kit.text.text_stage import TextStage

_CLASSES = {
    "hibari": "HibariNetwork",
    "piper": "PiperNetwork",
    "vits": "VitsNetwork",
    "speecht5": "SpeechT5Network",
    "bark": "BarkNetwork",
    "tacotron2": "Tacotron2Network",
}


def load_network(
    name: Literal["auto", "hibari", "piper"], folder: Path, device: torch.device
) -> SynthesisNetwork:
    """Load the network in *folder*; "auto" goes by the `model_type` of its config.json.

    Only the network that is wanted is imported, as transformers alone takes seconds.  Raises
    LoadError.
    """
    family = model_type(folder) if name == "auto" else name
    if family not in _CLASSES:
        raise LoadError(
            f"network: {family!r} is not a network that speaks; "
            f"expected one of: {', '.join(_CLASSES)}"
        )
    module = import_module(f"synthesis_kit.networks.{family}_network")
    load: Callable[[Path, torch.device], SynthesisNetwork] = getattr(module, _CLASSES[family]).load
    return load(folder, device)


def load_text_stage(
    options: TextStageOptions | None, folder: Path, device: torch.device
) -> "TextStage | None":
    """Load the network that rewrites texts, where *options* ask for one.  Raises LoadError."""
    if options is None:
        return None
    from synthesis_kit.text.text_stage import TextStage as Stage  # noqa: PLC0415

    return Stage(folder, options, device)

"""The networks by the names that ``handler_options`` give them."""

from pathlib import Path
from typing import Literal

import torch

from synthesis_kit.utterance import SpeechNetwork


def load_network(
    name: Literal["hibari", "piper"], folder: Path, device: torch.device
) -> SpeechNetwork:
    """The network that lies in *folder*.  Raises LoadError.

    Only the one that is wanted is imported: transformers alone takes seconds.
    """
    if name == "hibari":
        from synthesis_kit.hibari_network import HibariNetwork  # noqa: PLC0415

        return HibariNetwork.load(folder, device)
    from synthesis_kit.piper_network import PiperNetwork  # noqa: PLC0415

    return PiperNetwork.load(folder, device)

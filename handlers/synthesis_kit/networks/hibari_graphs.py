"""hibari's network in onnxruntime: twice as fast as in torch, on a CPU made for int8."""

from pathlib import Path

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
import torch
from torch import Tensor

from synthesis_kit.networks.hibari_modules import EncodedTexts


class HibariGraphs:
    """`HibariStages` as the archive's three graphs, one utterance at a time and on one thread.

    It may run in several threads at once.
    """

    def __init__(self, folder: Path) -> None:
        self._texts = _session(folder / "texts.onnx")
        self._contours = _session(folder / "contours.onnx")
        self._frames = _session(folder / "frames.onnx")

    def texts(self, symbols: Tensor, mask: Tensor | None) -> EncodedTexts:
        """Encode *symbols* [1, length]."""
        return EncodedTexts(*_run(self._texts, symbols, mask))

    def contours(self, text: Tensor, mask: Tensor | None) -> Tensor:
        """Return the contours of a prosodic *text* [1, channels, steps]."""
        return _run(self._contours, text, mask)[0]

    def frames(self, inputs: Tensor, mask: Tensor | None) -> Tensor:
        """Return the frames of *inputs* [1, channels, frames].

        Numbers are rounded to 8 bits by the largest of the whole input, so that what is padded
        would change what is not.
        """
        return _run(self._frames, inputs, mask)[0]


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _run(session: onnxruntime.InferenceSession, given: Tensor, mask: Tensor | None) -> list[Tensor]:
    assert len(given) == 1, "the graphs take one utterance"
    assert mask is None
    (name,) = (each.name for each in session.get_inputs())
    made: list[np.ndarray] = session.run(None, {name: given.numpy()})
    return [torch.from_numpy(each) for each in made]

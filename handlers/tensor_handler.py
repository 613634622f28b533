"""Any model that maps one tensor to another."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch

from handler_kit.batch_handler import ForwardPass, NumberHandler
from handler_kit.config import HandlerConfig, parse_options
from handler_kit.device import sent
from handler_kit.errors import InvalidInput, LoadError
from handler_kit.options import TensorOptions
from handler_kit.tensor_input import Array, TensorInput, stacked
from handler_kit.tensor_model import first_tensor, load_tensor_model


class TensorHandler(NumberHandler[Array, torch.Tensor]):
    """Answers nested lists, or a number if the output has one element.

    Inputs of equal shape share a forward pass.
    """

    options: TensorOptions

    def read_options(self, config: HandlerConfig) -> TensorOptions:
        """Return the files of the model, and the form of its inputs."""
        options = parse_options(config, TensorOptions)
        shape = options.input.shape
        if shape is not None and len(shape) != config.input_rank:
            raise LoadError(
                f"input_rank: must be {len(shape)} for the input shape {list(shape)}, "
                f"not {config.input_rank}"
            )
        self._input = TensorInput(options.input, config.input_rank)
        return options

    def load_model(self) -> torch.nn.Module:
        """Return the archive's model."""
        return load_tensor_model(self.folder, self.options, self.device)

    def decode(self, value: object, parameters: dict[str, Any]) -> Array:
        """Return an array of the input's shape."""
        if parameters:
            raise InvalidInput(f"This model takes no parameters; got {next(iter(parameters))!r}")
        return self._input.decode(value)

    def plan(self, inputs: Sequence[Array]) -> list[ForwardPass[torch.Tensor]]:
        """Return one pass per shape."""
        groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for place, array in enumerate(inputs):
            groups[array.shape].append(place)
        return [
            ForwardPass(places, stacked([inputs[place] for place in places]))
            for places in groups.values()
        ]

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the model's first output, [n, …] for a batch [n, …]."""
        dtype = self.dtype if batch.is_floating_point() else batch.dtype
        outputs = first_tensor(self.model(sent(batch, self.device, dtype)), len(batch)).cpu()
        return outputs.float() if outputs.is_floating_point() else outputs

    def details(self) -> dict[str, Any]:
        """Return the form of an answer, if an input is known that is certain to be valid."""
        samples = self.samples(1)
        if not samples:
            return {}
        with torch.inference_mode():
            answers = [self.forward(one.batch) for one in self.plan(samples)]
        shape = list(answers[0].shape[1:]) if answers[0][0].numel() > 1 else [1]
        dtype = "float32" if answers[0].is_floating_point() else "int64"
        return {"output": {"shape": shape, "dtype": dtype}}

    def samples(self, count: int) -> list[Array]:
        """Return inputs of the shape in the options; none if any shape is allowed."""
        samples = (self._input.sample(seed) for seed in range(count))
        return [sample for sample in samples if sample is not None]

"""Labels for pictures, with any image classifier of transformers."""

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageClassification

from handler_kit.batch_handler import BatchHandler, ForwardPass
from handler_kit.config import HandlerConfig, parse_options
from handler_kit.device import sent
from handler_kit.errors import ItemError, LoadError
from handler_kit.hub_checkpoint import FROM_FOLDER, load_model
from handler_kit.job import Answer, Item
from handler_kit.precision import Compared
from image_kit.classification import ImageScores, PreparedImage, best_labels
from image_kit.options import ImageOptions
from image_kit.parameters import ImageParameters, parse_input
from image_kit.picture import decode_base64, read_picture

LEAST = 1e-30  # a probability; its logarithm is finite
SAMPLE_SIZES = ((64, 64), (80, 48), (48, 96))  # pixels


class ImageHandler(BatchHandler[PreparedImage, list[PreparedImage], ImageScores]):
    """Answers `[{label, score}]`, best first, for each picture.

    Without the sidecar, a body that is not JSON is the picture itself.
    """

    item_types: ClassVar[frozenset[str]] = frozenset({"json", "plain"})
    plain_type: ClassVar[str] = "plain"
    compared_as: ClassVar[Compared] = "logits"
    options: ImageOptions

    def read_options(self, config: HandlerConfig) -> ImageOptions:
        """Return the limits."""
        return parse_options(config, ImageOptions)

    def load_model(self) -> torch.nn.Module:
        """Load the archive's classifier and its image processor."""
        processors: Any = AutoImageProcessor
        try:
            self._processor = processors.from_pretrained(self.folder, backend="pil", **FROM_FOLDER)
        except Exception as exc:
            raise LoadError(f"cannot load the image processor: {exc}") from exc
        network: torch.nn.Module = load_model(
            AutoModelForImageClassification, self.folder, self.device
        )
        # Tensor cores are faster if the channels of a pixel are adjacent; CPUs are not.
        on_gpu = self.device.type == "cuda"
        self._layout = torch.channels_last if on_gpu else torch.contiguous_format
        network = network.to(memory_format=self._layout)  # type: ignore[call-overload]
        self._labels: dict[int, str] = dict(network.config.id2label)  # type: ignore[union-attr, arg-type]
        return network

    def value_of(self, item: Item) -> object:
        """Return parsed JSON, or the bytes of a picture as the request's body."""
        is_json = item.type == "json" or item.body[:1] in (b'"', b"{")
        if item.value is msgspec.UNSET and not is_json:
            return item.body
        return super().value_of(item)

    def decode(self, value: object, parameters: dict[str, Any]) -> PreparedImage:
        """Return a picture, given in base64 or as {image, parameters}, prepared for the network."""
        if isinstance(value, bytes):
            return self._seen(read_picture(value, self.options), ImageParameters())
        text, asked = parse_input(value, parameters)
        data = decode_base64(text, self.options.max_bytes)
        return self._seen(read_picture(data, self.options), asked)

    def plan(self, inputs: Sequence[PreparedImage]) -> list[ForwardPass[list[PreparedImage]]]:
        """Return passes of pictures of equal shape, which most image processors produce."""
        shapes: dict[torch.Size, list[int]] = {}
        for place, seen in enumerate(inputs):
            shapes.setdefault(seen.pixels.shape, []).append(place)
        most = self.options.max_pass_images
        return [
            ForwardPass(members, [inputs[place] for place in members])
            for places in shapes.values()
            for members in (places[start : start + most] for start in range(0, len(places), most))
        ]

    def forward(self, batch: list[PreparedImage]) -> ImageScores:
        """Return every label's probability for each picture."""
        pixels = torch.stack([seen.pixels for seen in batch])
        pixels = sent(pixels, self.device, self.dtype).to(memory_format=self._layout)
        logits = self.model(pixel_values=pixels).logits
        return ImageScores(logits.float().softmax(-1).cpu(), [seen.parameters for seen in batch])

    def encode(self, outputs: ImageScores) -> Sequence[Answer | ItemError]:
        """Return the best labels of each picture."""
        return [
            Answer(body=msgspec.json.encode(best_labels(scores, self._labels, asked.top_k)))
            for scores, asked in zip(outputs.probabilities, outputs.parameters, strict=True)
        ]

    def compared(self, outputs: ImageScores) -> list[torch.Tensor]:
        """Return the logits of each picture up to a constant, which the softmax removes."""
        return list(outputs.probabilities.clamp(min=LEAST).log())

    def samples(self, count: int) -> list[PreparedImage]:
        """Return pictures of a few sizes and colours."""
        colours = [(40 * n % 256, 90 * n % 256, 160 * n % 256) for n in range(count)]
        sizes = [SAMPLE_SIZES[n % len(SAMPLE_SIZES)] for n in range(count)]
        pictures = [Image.new("RGB", size, c) for size, c in zip(sizes, colours, strict=True)]
        return [self._seen(picture, ImageParameters()) for picture in pictures]

    def details(self) -> dict[str, Any]:
        """Return the number of labels, and the largest picture."""
        return {"labels": len(self._labels), "max_pixels": self.options.max_pixels}

    def _seen(self, picture: Image.Image, asked: ImageParameters) -> PreparedImage:
        pixels = self._processor(picture, return_tensors="pt")["pixel_values"][0]
        return PreparedImage(pixels, asked)

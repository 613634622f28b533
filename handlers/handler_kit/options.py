"""The ``handler_options`` of all handlers, of tensor models and of embeddings."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=1)]
Identifier = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
FileName = Annotated[str, Meta(pattern=r"^[^/\\]+$")]  # in the archive's own folder


class HandlerOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of every handler."""

    max_answer_bytes: Count = 6_000_000
    """Largest answer; TorchServe kills a worker whose answer exceeds its max_response_size."""


class InputOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The form of one input of a tensor model.

    *fit* "pad_or_cut" and *text* "hash" need a shape of one dimension.
    """

    shape: tuple[Count, ...] | None = None
    """Shape of one input; null: any. Without it there are no samples for checks and warm-up."""
    dtype: Literal["float32", "int64"] = "float32"
    """`float32` or `int64`."""
    fit: Literal["exact", "pad_or_cut"] = "exact"
    """`exact`, or `pad_or_cut`: a short list is padded with zeros, and a long one cut."""
    text: Literal["refuse", "hash"] = "refuse"
    """`refuse`, or `hash`: a text is hashed into numbers."""

    def __post_init__(self) -> None:
        flat = self.shape is not None and len(self.shape) == 1
        if self.fit == "pad_or_cut" and not flat:
            raise ValueError("fit pad_or_cut needs a shape of one dimension")
        if self.text == "hash" and not (flat and self.dtype == "float32"):
            raise ValueError("text hash needs a shape of one dimension and dtype float32")


class TensorOptions(HandlerOptions, frozen=True, kw_only=True):
    """The files of a tensor model in its archive.

    Format "eager": *class_name* of *module*, built with *arguments*, and *weights* as safetensors.
    Formats "export" and "torchscript": *program*, one file.
    """

    format: Literal["eager", "export", "torchscript"] = "eager"
    """`eager`: a Python class and safetensors; `export`: a torch.export program; `torchscript`."""
    module: Identifier | None = None
    """With `eager`: the module `<module>.py` that has the class."""
    class_name: Identifier | None = msgspec.field(default=None, name="class")
    """With `eager`: the class of the model."""
    arguments: dict[str, Any] = {}
    """With `eager`: the arguments of the class."""
    weights: FileName = "model.safetensors"
    """With `eager`: the file of the weights."""
    program: FileName | None = None
    """With `export` and `torchscript`: the file of the program."""
    input: InputOptions = InputOptions()
    """The form of one input."""

    def __post_init__(self) -> None:
        if self.format == "eager" and (self.module is None or self.class_name is None):
            raise ValueError("format eager needs module and class")
        if self.format != "eager" and self.program is None:
            raise ValueError(f"format {self.format} needs program")


Pooling = Literal["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]


class EmbeddingOptions(HandlerOptions, frozen=True, kw_only=True):
    """How texts are turned into vectors.

    Passes have few tokens, since larger ones do not fit into a CPU's caches.
    """

    pooling: Pooling | tuple[Pooling, ...] | None = None
    """How the vectors of a text's tokens are pooled: `mean`, `cls`, `max`, `mean_sqrt_len_tokens`,
    `weightedmean`, `lasttoken`, or a list of these, whose vectors are concatenated. null: as the
    checkpoint says, else `mean`."""
    normalize: bool | None = None
    """Scale vectors to length 1. null: as the checkpoint says, else true."""
    max_length: Annotated[int, Meta(ge=2)] | None = None
    """Most tokens of a text; longer texts are truncated. null: the limit of the checkpoint."""
    max_characters: Count = 100_000
    """Most characters of a text; longer ones are refused."""
    max_pass_tokens: Count = 4096
    """Most tokens in one forward pass."""
    batching: Literal["auto", "packed", "padded"] = "auto"
    """`auto`, `packed` or `padded`: see [architecture.md](architecture.md#handlers)."""

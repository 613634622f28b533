"""What ``handler_options`` may say: for all handlers, for tensor models and for embeddings."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=1)]
Identifier = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
FileName = Annotated[str, Meta(pattern=r"^[^/\\]+$")]  # in the archive's own folder


class HandlerOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every handler takes; *max_answer_bytes* lies below TorchServe's max_response_size."""

    max_answer_bytes: Count = 6_000_000


class InputOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one input of a tensor model looks like.

    *shape* null takes any shape.  *fit* "pad_or_cut" fills a short list with zeros and cuts a long
    one; *text* "hash" turns a string into numbers.  Both need a shape of one dimension.
    """

    shape: tuple[Count, ...] | None = None
    dtype: Literal["float32", "int64"] = "float32"
    fit: Literal["exact", "pad_or_cut"] = "exact"
    text: Literal["refuse", "hash"] = "refuse"

    def __post_init__(self) -> None:
        flat = self.shape is not None and len(self.shape) == 1
        if self.fit == "pad_or_cut" and not flat:
            raise ValueError("fit pad_or_cut needs a shape of one dimension")
        if self.text == "hash" and not (flat and self.dtype == "float32"):
            raise ValueError("text hash needs a shape of one dimension and dtype float32")


class TensorOptions(HandlerOptions, frozen=True, kw_only=True):
    """Where a tensor model lies in its archive.

    Format "eager": *class_name* of *module*, built with *arguments*, and *weights* as safetensors.
    Formats "export" and "torchscript": *program*, one file.
    """

    format: Literal["eager", "export", "torchscript"] = "eager"
    module: Identifier | None = None
    class_name: Identifier | None = msgspec.field(default=None, name="class")
    arguments: dict[str, Any] = {}
    weights: FileName = "model.safetensors"
    program: FileName | None = None
    input: InputOptions = InputOptions()

    def __post_init__(self) -> None:
        if self.format == "eager" and (self.module is None or self.class_name is None):
            raise ValueError("format eager needs module and class")
        if self.format != "eager" and self.program is None:
            raise ValueError(f"format {self.format} needs program")


Pooling = Literal["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]


class EmbeddingOptions(HandlerOptions, frozen=True, kw_only=True):
    """How texts become vectors.

    *pooling* and *normalize* null: as the checkpoint's own files say, else the mean, normalised.
    *max_length* in tokens; null means the limit of the checkpoint's files, of the tokenizer or of
    the model. *max_pass_tokens* bounds one forward pass: beyond it a CPU's caches no longer help.
    """

    pooling: Pooling | tuple[Pooling, ...] | None = None
    normalize: bool | None = None
    max_length: Annotated[int, Meta(ge=2)] | None = None
    max_characters: Count = 100_000
    max_pass_tokens: Count = 4096
    batching: Literal["auto", "packed", "padded"] = "auto"

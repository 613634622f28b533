"""A Piper voice (VITS, ONNX) as the files of a VitsModel of transformers.

Piper exports its training network with folded weight norm.  Most weights keep their PyTorch names;
those that the exporter made anonymous are named by the path of the node that uses them, such as
``/flow/flows.0/enc/in_layers.0/Conv``.  What only training needs is not in the file, and neither
is it in the checkpoint.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from safetensors.numpy import save_file

WORDS = (  # of Piper's names, in those of transformers; all that fit, in this order
    (r"^enc_p\.emb\.", "text_encoder.embed_tokens."),
    (r"^enc_p\.proj\.", "text_encoder.project."),
    (r"^enc_p\.encoder\.attn_layers\.(\d+)\.", r"text_encoder.encoder.layers.\1.attention."),
    (r"^enc_p\.encoder\.norm_layers_1\.(\d+)\.", r"text_encoder.encoder.layers.\1.layer_norm."),
    (
        r"^enc_p\.encoder\.norm_layers_2\.(\d+)\.",
        r"text_encoder.encoder.layers.\1.final_layer_norm.",
    ),
    (r"^enc_p\.encoder\.ffn_layers\.(\d+)\.", r"text_encoder.encoder.layers.\1.feed_forward."),
    (r"\.attention\.conv_([qkv])\.", r".attention.\1_proj."),
    (r"\.attention\.conv_o\.", ".attention.out_proj."),
    (r"^dec\.ups\.", "decoder.upsampler."),
    (r"^dec\.", "decoder."),
    (r"^flow\.", "flow."),
    (r"^(flow\.flows\.\d+)\.enc\.", r"\1.wavenet."),
    (r"^dp\.flows\.0\.m$", "duration_predictor.flows.0.translate"),
    (r"^dp\.flows\.0\.logs$", "duration_predictor.flows.0.log_scale"),
    (r"^dp\.convs\.", "duration_predictor.conv_dds."),
    (r"^dp\.", "duration_predictor."),
    (r"^(duration_predictor\.flows\.\d+)\.convs\.", r"\1.conv_dds."),
    (r"^(flow\.flows\.\d+|duration_predictor(?:\.flows\.\d+)?)\.(pre|post|proj)\.", r"\1.conv_\2."),
    (r"\.convs_sep\.", ".convs_dilated."),
    (r"\.convs_1x1\.", ".convs_pointwise."),
    (r"\.gamma$", ".weight"),
    (r"\.beta$", ".bias"),
)
PARTS = re.compile(r"(enc_p|dec|flow|dp|emb_g)\.")
FOLDED = "/dp/flows.0/Exp_output_0"  # the exporter's exp(−logs)
EMBEDDING = "/enc_p/emb/Gather"  # its weights have no name of their own either
SPLINE = 3  # widths, heights and slopes of a spline of the durations; of slopes one less
MARKS = ("_", "^", "$")  # between all symbols, before the first and after the last

Array = np.ndarray[Any, Any]
Tensors = dict[str, Array]


def convert(source: Path, target: Path) -> None:
    """Write `model.safetensors`, `config.json` and `vocab.json` for the voice in *source*.

    The vocabulary is from espeak's symbols to numbers.  Raises ValueError for anything but one
    voice of one speaker in Piper's quality low or medium; then nothing is written.
    """
    files = sorted(source.glob("*.onnx"))
    if len(files) != 1:
        raise ValueError(f"{len(files)} ONNX files, a Piper voice is one")
    settings = _settings(source / f"{files[0].name}.json")
    exported = _Export(files[0])
    config = exported.config() | _scales(settings)
    vocabulary = _vocabulary(settings, config["vocab_size"])
    tensors = exported.tensors()
    target.mkdir(parents=True, exist_ok=True)
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    _write(target / "config.json", config)
    _write(target / "vocab.json", vocabulary)


class _Export:
    """The weights of an exported voice by their names in training, and its convolutions."""

    def __init__(self, path: Path) -> None:
        try:
            graph = onnx.load(path).graph
        except Exception as exc:  # protobuf's, and it need not be installed by that name
            raise ValueError(f"{path.name} is not an ONNX file") from exc
        self._file = path.name
        stored = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
        self._weights = {name: array for name, array in stored.items() if PARTS.match(name)}
        self._attributes: dict[str, dict[str, list[int]]] = {}
        for node in graph.node:
            if node.op_type in {"Conv", "ConvTranspose"}:
                self._name_convolution(node, stored)
            elif node.name == EMBEDDING:
                self._weights["enc_p.emb.weight"] = stored[node.input[0]]
        if FOLDED in stored:
            self._weights["dp.flows.0.logs"] = -np.log(stored[FOLDED])
        self._check({each.name for each in graph.input} - stored.keys())

    def tensors(self) -> Tensors:
        """Return all weights in fp32 by the names and shapes that transformers has for them."""
        named = {_renamed(name): array for name, array in self._weights.items()}
        return {name: _shaped(name, array) for name, array in named.items()}

    def config(self) -> dict[str, Any]:
        """Return what the shapes tell; the rest is transformers' default for VITS."""
        vocabulary, hidden = self._shape("enc_p.emb.weight", 2)
        _, places, head = self._shape("enc_p.encoder.attn_layers.0.emb_rel_k")
        ffn = self._shape("enc_p.encoder.ffn_layers.0.conv_1.weight")
        last = max(self._numbers("dp.flows."))
        spline, _, _ = self._shape(f"dp.flows.{last}.proj.weight")
        stages = self._count("dec.ups.")
        kernels = self._count("dec.resblocks.") // stages
        return {
            "model_type": "vits",
            "vocab_size": vocabulary,
            "hidden_size": hidden,
            "num_hidden_layers": self._count("enc_p.encoder.attn_layers."),
            "num_attention_heads": hidden // head,
            "window_size": (places - 1) // 2,
            "ffn_dim": ffn[0],
            "ffn_kernel_size": ffn[2],
            "flow_size": self._shape("enc_p.proj.weight")[0] // 2,
            "prior_encoder_num_flows": self._count("flow.flows."),
            "prior_encoder_num_wavenet_layers": self._count("flow.flows.0.enc.in_layers."),
            "wavenet_kernel_size": self._shape("flow.flows.0.enc.in_layers.0.weight")[2],
            "duration_predictor_num_flows": self._count("dp.flows."),  # one of them is never run
            "duration_predictor_flow_bins": (spline + 1) // SPLINE,
            "depth_separable_num_layers": self._count("dp.convs.convs_sep."),
            "duration_predictor_kernel_size": self._shape("dp.convs.convs_sep.0.weight")[2],
            "upsample_initial_channel": self._shape("dec.conv_pre.weight")[0],
            "upsample_rates": [
                self._attribute(f"dec.ups.{stage}", "strides") for stage in range(stages)
            ],
            "upsample_kernel_sizes": [
                self._shape(f"dec.ups.{stage}.weight")[2] for stage in range(stages)
            ],
            "resblock_kernel_sizes": [
                self._shape(f"dec.resblocks.{block}.convs.0.weight")[2] for block in range(kernels)
            ],
            "resblock_dilation_sizes": [self._dilations(block) for block in range(kernels)],
        }

    def _name_convolution(self, node: Any, stored: Tensors) -> None:
        name = ".".join(node.name.split("/")[1:-1])
        for kind, given in zip(("weight", "bias"), node.input[1:], strict=False):
            if given in stored and PARTS.match(f"{name}."):
                self._weights[f"{name}.{kind}"] = stored[given]
        self._attributes[name] = {each.name: list(each.ints) for each in node.attribute}

    def _check(self, inputs: set[str]) -> None:
        file = self._file
        if "sid" in inputs or "emb_g.weight" in self._weights:
            raise ValueError(f"{file} has several speakers, only voices of one are converted")
        if "dec.resblocks.0.convs1.0.weight" in self._weights:
            raise ValueError(f"{file} is of quality high, only low and medium are converted")
        for part in ("enc_p.emb.weight", "dp.flows.0.logs", "dec.resblocks.0.convs.0.weight"):
            if part not in self._weights:
                raise ValueError(f"{file} is not a Piper voice: it has no {part}")

    def _shape(self, name: str, rank: int = 3) -> tuple[int, ...]:
        if name not in self._weights:
            raise ValueError(f"{self._file} is not a Piper voice: it has no {name}")
        shape: tuple[int, ...] = self._weights[name].shape
        if len(shape) != rank:
            raise ValueError(f"{self._file} is not a Piper voice: {name} has the shape {shape}")
        return shape

    def _attribute(self, convolution: str, name: str) -> int:
        numbers = self._attributes.get(convolution, {}).get(name)
        if not numbers:
            raise ValueError(f"{self._file} is not a Piper voice: {convolution} has no {name}")
        return numbers[0]

    def _numbers(self, prefix: str) -> set[int]:
        """Return the numbers of the parts whose names begin with *prefix*."""
        parts = {
            name[len(prefix) :].split(".")[0] for name in self._weights if name.startswith(prefix)
        }
        numbers = {int(part) for part in parts if part.isdecimal()}
        if not numbers:
            raise ValueError(f"{self._file} is not a Piper voice: it has no {prefix}0")
        return numbers

    def _count(self, prefix: str) -> int:
        return len(self._numbers(prefix))

    def _dilations(self, block: int) -> list[int]:
        layers = self._count(f"dec.resblocks.{block}.convs.")
        names = (f"dec.resblocks.{block}.convs.{layer}" for layer in range(layers))
        return [self._attribute(name, "dilations") for name in names]


def _renamed(name: str) -> str:
    for pattern, word in WORDS:
        name = re.sub(pattern, word, name)
    return re.sub(r"^(flow|duration_predictor)\.flows\.(\d+)", _flow, name)


def _flow(found: re.Match[str]) -> str:
    """Return the name of a flow; Piper counts the flips between them too, transformers does not."""
    part, place = found[1], int(found[2])
    return f"{part}.flows.{place // 2 if part == 'flow' else (place + 1) // 2}"


def _shaped(name: str, array: Array) -> Array:
    """Return *array* in transformers' shape: convolutions over one symbol are matrices there."""
    if name.endswith("_proj.weight") and ".attention." in name:
        array = array[:, :, 0]
    return np.ascontiguousarray(array, np.float32)


def _settings(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ValueError(f"there is no {path.name}") from None
    except ValueError as exc:
        raise ValueError(f"{path.name} is not JSON: {exc}") from exc
    if not isinstance(settings, dict) or not {"audio", "phoneme_id_map"} <= settings.keys():
        raise ValueError(f"{path.name} does not describe a Piper voice")
    if settings.get("phoneme_type", "espeak") != "espeak":
        raise ValueError(f"{path.name} is of a voice that reads letters, not espeak's phonemes")
    if settings.get("num_speakers", 1) != 1:
        raise ValueError(f"{path.name} has several speakers, only voices of one are converted")
    return settings


def _scales(settings: dict[str, Any]) -> dict[str, Any]:
    audio, inference = settings["audio"], settings.get("inference", {})
    rate = audio.get("sample_rate") if isinstance(audio, dict) else None
    if not isinstance(rate, int) or not isinstance(inference, dict):
        raise ValueError("the voice's settings give no sample rate")  # noqa: TRY004 - of a file
    return {
        "sampling_rate": rate,
        "noise_scale": inference.get("noise_scale", 0.667),
        "noise_scale_duration": inference.get("noise_w", 0.8),
        "speaking_rate": 1 / inference.get("length_scale", 1),
    }


def _vocabulary(settings: dict[str, Any], size: int) -> dict[str, int]:
    numbered = settings["phoneme_id_map"]
    if not isinstance(numbered, dict) or not numbered.keys() >= set(MARKS):
        raise ValueError(f"phoneme_id_map lacks one of Piper's {', '.join(MARKS)}")
    vocabulary = {}
    for symbol, numbers in numbered.items():
        if not isinstance(numbers, list) or len(numbers) != 1 or numbers[0] not in range(size):
            raise ValueError(f"the symbol {symbol!r} does not have exactly one number below {size}")
        vocabulary[symbol] = numbers[0]
    return vocabulary


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

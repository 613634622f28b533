"""NVIDIA's Tacotron 2 and a HiFi-GAN, as they are published, in our handler's layout.

`tacotron2.pt` is the checkpoint of their model hub; its weights keep their names.
`hifigan_generator.pt` and `hifigan_config.json` are those of the authors of HiFi-GAN
(https://github.com/jik876/hifi-gan: UNIVERSAL_V1, LJ_V1, LJ_FT_T2_V1); they become a
SpeechT5HifiGan of transformers, the same generator without weight norm.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from sidecar.archives.conversion.pickled import unpickle

TACOTRON, GENERATOR, GENERATOR_CONFIG = (
    "tacotron2.pt",
    "hifigan_generator.pt",
    "hifigan_config.json",
)

Array = np.ndarray[Any, Any]
Tensors = dict[str, Array]


def convert(source: Path, target: Path) -> None:
    """Write `config.json`, `model.safetensors` and `vocoder/`.  Raises ValueError."""
    weights = _read(source / TACOTRON, "")
    weights = {name.removeprefix("module."): value for name, value in weights.items()}
    config = _tacotron_config(weights)
    try:
        settings = json.loads((source / GENERATOR_CONFIG).read_bytes())
        vocoder = _vocoder_config(settings)
    except (OSError, KeyError, TypeError, json.JSONDecodeError) as exc:
        raise ValueError(f"{GENERATOR_CONFIG} cannot be read: {exc}") from exc
    generator = _folded(_read(source / GENERATOR, "generator."))
    mels = vocoder["model_in_dim"]
    generator |= {"mean": np.zeros(mels, np.float32), "scale": np.ones(mels, np.float32)}
    _write(target, config, weights)
    _write(target / "vocoder", vocoder, generator)


def _read(path: Path, prefix: str) -> Tensors:
    """Return the tensors of *path* whose names begin with *prefix*, without it."""
    if not path.is_file():
        raise ValueError(f"there is no {path.name}")
    with tempfile.TemporaryDirectory(prefix="unpickled-") as folder:
        safe = Path(folder) / "weights.safetensors"
        unpickle(path, safe)
        tensors = load_file(safe)
    own = {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
    if not own:
        raise ValueError(f"{path.name} holds no {prefix.rstrip('.')}")
    return own


def _write(folder: Path, config: dict[str, Any], weights: Tensors) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    save_file(weights, folder / "model.safetensors")


def _tacotron_config(weights: Tensors) -> dict[str, Any]:
    """Return the sizes, from the weights' shapes."""
    attention = "decoder.attention_layer"
    try:
        location = weights[f"{attention}.location_layer.location_conv.conv.weight"].shape
        first = weights["postnet.convolutions.0.0.conv.weight"].shape
        symbols, width = weights["embedding.weight"].shape
        return {
            "model_type": "tacotron2",
            "n_symbols": symbols,
            "symbols_embedding_dim": width,
            "encoder_kernel_size": weights["encoder.convolutions.0.0.conv.weight"].shape[2],
            "encoder_n_convolutions": _count(weights, "encoder.convolutions."),
            "n_mel_channels": first[1],
            "prenet_dim": len(weights["decoder.prenet.layers.0.linear_layer.weight"]),
            "attention_rnn_dim": weights["decoder.attention_rnn.weight_hh"].shape[1],
            "decoder_rnn_dim": weights["decoder.decoder_rnn.weight_hh"].shape[1],
            "attention_dim": len(weights[f"{attention}.query_layer.linear_layer.weight"]),
            "attention_location_n_filters": location[0],
            "attention_location_kernel_size": location[2],
            "postnet_embedding_dim": first[0],
            "postnet_kernel_size": first[2],
            "postnet_n_convolutions": _count(weights, "postnet.convolutions."),
        }
    except (KeyError, IndexError) as exc:
        raise ValueError(f"{TACOTRON} is not a Tacotron 2 of NVIDIA's: it lacks {exc}") from exc


def _count(weights: Tensors, prefix: str) -> int:
    return len(
        {name.removeprefix(prefix).split(".")[0] for name in weights if name.startswith(prefix)}
    )


def _vocoder_config(settings: dict[str, Any]) -> dict[str, Any]:
    if str(settings["resblock"]) != "1":
        raise ValueError(f"{GENERATOR_CONFIG}: only resblock 1 is read (V1, V2), not V3")
    return {
        "architectures": ["SpeechT5HifiGan"],
        "model_type": "speecht5_hifigan",
        "model_in_dim": settings.get("num_mels", 80),
        "sampling_rate": settings["sampling_rate"],
        "upsample_initial_channel": settings["upsample_initial_channel"],
        "upsample_rates": settings["upsample_rates"],
        "upsample_kernel_sizes": settings["upsample_kernel_sizes"],
        "resblock_kernel_sizes": settings["resblock_kernel_sizes"],
        "resblock_dilation_sizes": settings["resblock_dilation_sizes"],
        "leaky_relu_slope": 0.1,
        "normalize_before": False,
    }


def _folded(weights: Tensors) -> Tensors:
    """Return *weights* by transformers' names, without weight norm (arXiv:1602.07868)."""
    folded = {}
    for theirs, value in weights.items():
        name = theirs.replace("ups.", "upsampler.", 1) if theirs.startswith("ups.") else theirs
        if name.endswith("_g"):
            continue
        if name.endswith("_v"):
            norm = np.sqrt(np.square(value).sum(axis=(1, 2), keepdims=True))
            length = weights.get(theirs.removesuffix("_v") + "_g")
            if length is None:
                raise ValueError(f"{GENERATOR} has {theirs}, but not its length")
            folded[name.removesuffix("_v")] = (value * (length / norm)).astype(np.float32)
        else:
            folded[name] = value
    return folded

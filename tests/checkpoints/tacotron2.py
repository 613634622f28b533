"""Tacotron 2 with a HiFi-GAN, in our layout and in that of the published, pickled files."""

import json
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors.torch import save_file
from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

from synthesis_kit.networks.tacotron2_modules import Tacotron2, Tacotron2Config

MELS = 8
CONFIG = Tacotron2Config(
    symbols_embedding_dim=16,
    n_mel_channels=MELS,
    prenet_dim=12,
    attention_rnn_dim=20,
    decoder_rnn_dim=24,
    attention_dim=8,
    attention_location_n_filters=4,
    attention_location_kernel_size=5,
    postnet_embedding_dim=10,
)
HIFI_GAN = {  # config.json of the vocoder's own repository, smaller
    "resblock": "1",
    "upsample_rates": [8, 8],
    "upsample_kernel_sizes": [16, 16],
    "upsample_initial_channel": 16,
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1, 3]],
    "num_mels": MELS,
    "sampling_rate": 22050,
}


def build(folder: Path) -> None:
    """Write a Tacotron 2 that says anything, at 22.05 kHz, and stops at random."""
    folder.mkdir(parents=True, exist_ok=True)
    tacotron = small_tacotron()
    save_file(dict(tacotron.state_dict()), folder / "model.safetensors")
    config = {"model_type": "tacotron2", **msgspec.to_builtins(CONFIG)}
    (folder / "config.json").write_text(json.dumps(config))
    small_vocoder().save_pretrained(folder / "vocoder")


def build_published(folder: Path) -> None:
    """Write the same weights as NVIDIA and the authors of HiFi-GAN publish theirs."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {f"module.{name}": value for name, value in small_tacotron().state_dict().items()}
    sizes = msgspec.to_builtins(CONFIG)
    torch.save({"state_dict": state, "config": sizes, "epoch": 1500}, folder / "tacotron2.pt")
    (folder / "hifigan_config.json").write_text(json.dumps(HIFI_GAN))
    torch.save({"generator": _published(small_vocoder())}, folder / "hifigan_generator.pt")


def small_tacotron() -> Tacotron2:
    """Return one with weights that make a loud spectrogram, and norms that do something."""
    torch.manual_seed(0)
    tacotron = Tacotron2(CONFIG)
    with torch.no_grad():
        for module in tacotron.modules():
            if isinstance(module, torch.nn.BatchNorm1d):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_(std=0.2)
                module.running_var.uniform_(0.5, 1.5)
        for module in (tacotron.decoder.attention_rnn, tacotron.decoder.decoder_rnn):
            for parameter in module.parameters():
                parameter.mul_(5)
        tacotron.decoder.linear_projection.linear_layer.weight.normal_(std=0.8)
        tacotron.decoder.gate_layer.linear_layer.weight.normal_(std=2.0)
        tacotron.decoder.gate_layer.linear_layer.bias.fill_(-2.2)
    return tacotron


def small_vocoder() -> SpeechT5HifiGan:
    """Return a HiFi-GAN of transformers."""
    torch.manual_seed(1)
    return SpeechT5HifiGan(
        SpeechT5HifiGanConfig(
            model_in_dim=MELS,
            sampling_rate=22050,
            upsample_initial_channel=16,
            upsample_rates=[8, 8],
            upsample_kernel_sizes=[16, 16],
            resblock_kernel_sizes=[3],
            resblock_dilation_sizes=[[1, 3]],
            normalize_before=False,
            initializer_range=0.15,
        )
    )


def _published(vocoder: SpeechT5HifiGan) -> dict[str, Any]:
    """Return its weights with weight norm, by their original names."""
    state = {}
    for ours, value in vocoder.state_dict().items():
        name = ours.replace("upsampler.", "ups.")
        if name in ("mean", "scale"):
            continue
        if name.endswith(".weight"):
            state[f"{name}_g"] = value.norm(dim=(1, 2), keepdim=True)
            state[f"{name}_v"] = 3.0 * value  # its length does not count
        else:
            state[name] = value
    return state

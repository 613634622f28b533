"""SpeechSynthesisHandler with Tacotron 2: NVIDIA's names, one speaker."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional
from transformers import SpeechT5HifiGan

from handler_kit.errors import LoadError
from handler_kit.wav import Samples
from synthesis_kit.networks.tacotron2_modules import Tacotron2, Tacotron2Config
from synthesis_kit.networks.tacotron2_network import SYMBOLS
from tests.checkpoints import tacotron2
from tests.handlers.families import check_batch_is_each_alone, check_is, load_family
from tests.handlers.loaded import Loaded
from tests.handlers.speaking import refusal, say

TEXT = "The quick brown fox."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tacotron2")
    tacotron2.build(folder)
    return folder


@pytest.fixture(scope="module")
def voice(folder: Path) -> Loaded:
    return load_family(folder)


class Written:
    """NVIDIA's inference for one text, written once more from its weights, without any module."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.weights = load_file(folder / "model.safetensors")
        self.draw = torch.Generator().manual_seed(seed)

    def of(self, prefix: str) -> dict[str, Tensor]:
        return {
            name.removeprefix(f"{prefix}."): value
            for name, value in self.weights.items()
            if name.startswith(f"{prefix}.")
        }

    def convolution(self, prefix: str, hidden: Tensor) -> Tensor:
        own = self.of(prefix)
        width = own["0.conv.weight"].shape[2] // 2
        hidden = functional.conv1d(hidden, own["0.conv.weight"], own["0.conv.bias"], padding=width)
        return functional.batch_norm(
            hidden, own["1.running_mean"], own["1.running_var"], own["1.weight"], own["1.bias"]
        )

    def linear(self, prefix: str, hidden: Tensor) -> Tensor:
        own = self.of(f"{prefix}.linear_layer")
        return functional.linear(hidden, own["weight"], own.get("bias"))

    def cell(self, prefix: str, hidden: Tensor, state: tuple[Tensor, Tensor]) -> Any:
        own = self.of(prefix)
        size = own["weight_ih"].shape[0] // 4
        cell = torch.nn.LSTMCell(hidden.shape[1], size)
        cell.load_state_dict(own)
        return cell(hidden, state)

    def memory(self, text: str) -> Tensor:
        symbols = torch.tensor([[SYMBOLS.index(letter) for letter in text.lower()]])
        hidden = functional.embedding(symbols, self.weights["embedding.weight"]).transpose(1, 2)
        for number in range(3):
            hidden = functional.relu(self.convolution(f"encoder.convolutions.{number}", hidden))
        lstm = torch.nn.LSTM(16, 8, batch_first=True, bidirectional=True)
        lstm.load_state_dict(self.of("encoder.lstm"))
        return lstm(hidden.transpose(1, 2))[0]  # type: ignore[no-any-return]

    def attend(self, query: Tensor, memory: Tensor, before: list[Tensor]) -> Tensor:
        name = "decoder.attention_layer"
        kernel = self.weights[f"{name}.location_layer.location_conv.conv.weight"]
        seen = torch.stack([before[-1], torch.stack(before).sum(0)], 1)
        place = functional.conv1d(seen, kernel, padding=kernel.shape[2] // 2).transpose(1, 2)
        hidden = self.linear(f"{name}.query_layer", query)[:, None]
        hidden = hidden + self.linear(f"{name}.location_layer.location_dense", place)
        hidden = torch.tanh(hidden + self.linear(f"{name}.memory_layer", memory))
        return self.linear(f"{name}.v", hidden)[..., 0].softmax(dim=1)

    def spectrogram(self, text: str) -> Tensor:
        memory = self.memory(text)
        weights = [torch.zeros(memory.shape[:2])]
        context, frame = torch.zeros(1, 16), torch.zeros(1, tacotron2.MELS)
        attention, decoder = (2 * (torch.zeros(1, size),) for size in (20, 24))
        frames = []
        for _ in range(2000):
            kept = 2.0 * (torch.rand(2, 12, generator=self.draw) < 0.5)
            for layer in range(2):
                frame = functional.relu(self.linear(f"decoder.prenet.layers.{layer}", frame))
                frame = frame * kept[layer]
            attention = self.cell(
                "decoder.attention_rnn", torch.cat([frame, context], 1), attention
            )
            weights.append(self.attend(attention[0], memory, weights))
            context = (weights[-1][..., None] * memory).sum(1)
            inputs = torch.cat([attention[0], context], 1)
            decoder = self.cell("decoder.decoder_rnn", inputs, decoder)
            heard = torch.cat([decoder[0], context], 1)
            frame = self.linear("decoder.linear_projection", heard)
            frames.append(frame)
            if self.linear("decoder.gate_layer", heard).sigmoid() > 0.5:
                break
        rough = fine = torch.stack(frames, 2)
        for number in range(5):
            fine = self.convolution(f"postnet.convolutions.{number}", fine)
            fine = torch.tanh(fine) if number < 4 else fine
        return (rough + fine).transpose(1, 2)


@torch.inference_mode()
def written(folder: Path, text: str, seed: int) -> Samples:
    spectrogram = Written(folder, seed).spectrogram(text)
    vocoder: Any = SpeechT5HifiGan.from_pretrained(folder / "vocoder")
    return np.asarray(vocoder(spectrogram).numpy())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_network_equals_the_published_one(voice: Loaded, folder: Path, seed: int) -> None:
    check_is(say(voice, TEXT, seed=seed), written(folder, TEXT, seed))


def test_a_batch_equals_each_utterance_alone(voice: Loaded) -> None:
    check_batch_is_each_alone(
        voice,
        *[{"text": TEXT, "parameters": {"seed": seed}} for seed in range(4)],
        {"text": "A much longer text, so that there is some padding for the others to ignore."},
        {"text": "Why not?"},
    )


def test_names_and_shapes_are_those_of_the_published_weights() -> None:
    """Of `tacotron2/model.py`; 28.2 million parameters, as NVIDIA's model card says."""
    with torch.device("meta"):
        tacotron = Tacotron2(Tacotron2Config())
    shapes = {name: tuple(value.shape) for name, value in tacotron.state_dict().items()}
    published = {
        "embedding.weight": (148, 512),
        "encoder.convolutions.2.0.conv.weight": (512, 512, 5),
        "encoder.convolutions.0.1.num_batches_tracked": (),
        "encoder.lstm.weight_hh_l0_reverse": (1024, 256),
        "decoder.prenet.layers.0.linear_layer.weight": (256, 80),
        "decoder.attention_rnn.weight_ih": (4096, 768),
        "decoder.attention_layer.query_layer.linear_layer.weight": (128, 1024),
        "decoder.attention_layer.memory_layer.linear_layer.weight": (128, 512),
        "decoder.attention_layer.v.linear_layer.weight": (1, 128),
        "decoder.attention_layer.location_layer.location_conv.conv.weight": (32, 2, 31),
        "decoder.attention_layer.location_layer.location_dense.linear_layer.weight": (128, 32),
        "decoder.decoder_rnn.weight_ih": (4096, 1536),
        "decoder.linear_projection.linear_layer.weight": (80, 1536),
        "decoder.gate_layer.linear_layer.bias": (1,),
        "postnet.convolutions.4.0.conv.weight": (80, 512, 5),
        "postnet.convolutions.4.1.running_var": (80,),
    }
    assert published.items() <= shapes.items()
    assert round(sum(each.numel() for each in tacotron.parameters()) / 1e6, 1) == 28.2


@pytest.mark.parametrize(("parameter", "value"), [("speed", 2), ("pitch", 2), ("emotion", "sad")])
def test_unsupported_parameters_are_refused(voice: Loaded, parameter: str, value: Any) -> None:
    assert refusal(voice, TEXT, **{parameter: value}).startswith(f"{parameter}: this voice")


def test_accents_are_dropped_and_an_empty_rest_is_refused(voice: Loaded) -> None:
    said = [say(voice, text, normalize_text=False) for text in ("Café ~ 'n'", "cafe 'n'")]
    assert said[0].tobytes() == said[1].tobytes()
    assert "nothing that can be spoken" in refusal(voice, "你好")


def test_weights_of_other_sizes_do_not_load(tmp_path: Path) -> None:
    tacotron2.build(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace('"n_symbols": 148', '"n_symbols": 64'))
    with pytest.raises(LoadError, match="embedding"):
        load_family(tmp_path)

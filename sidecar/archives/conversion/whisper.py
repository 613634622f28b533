"""Whisper as faster-whisper stores it (CTranslate2) to the files that transformers reads."""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from sidecar.archives.conversion.ctranslate2 import Array, Variables, read_variables

SPECIFICATION = "WhisperSpec"
WEIGHT_TYPES = ("f4", "f2")
GELU = 3  # ctranslate2's ActivationType
FEED_FORWARD_FACTOR = 4
MULTILINGUAL_VOCABULARY = 51865  # tokens at least; English-only models name the languages too
MAX_FIRST_TIMESTAMP = 50  # of 20 ms: the first segment begins in the first second


def convert(source: Path, target: Path) -> None:
    """Read a faster-whisper folder; write one for ``from_pretrained`` with weights in fp16.

    Raises ValueError for anything but a whole Whisper in float16 or float32.
    """
    variables = read_variables(_read(source / "model.bin"), SPECIFICATION)
    settings = _read_json(source / "config.json")
    special = _special_tokens(_read_json(source / "tokenizer.json"))
    network = _Network(variables)
    target.mkdir(parents=True, exist_ok=True)
    save_file(network.weights(), target / "model.safetensors", metadata={"format": "pt"})
    _write_json(target / "config.json", network.config(special))
    _write_json(target / "generation_config.json", network.generation(settings, special))
    _write_json(target / "preprocessor_config.json", _preprocessor(network.mel_bins))
    _write_json(target / "tokenizer_config.json", _tokenizer_config())
    shutil.copyfile(source / "tokenizer.json", target / "tokenizer.json")


class _Network:
    """A Whisper's variables, and what its shapes say."""

    def __init__(self, variables: Variables) -> None:
        self._variables = variables
        self._unread = {name for name, array in variables.items() if array.ndim}
        self.vocabulary, self.width = self._shape("decoder/embeddings/weight", 2)
        _, self.mel_bins, _ = self._shape("encoder/conv1/weight", 3)
        self.source_positions, _ = self._shape("encoder/position_encodings/encodings", 2)
        self.target_positions, _ = self._shape("decoder/position_encodings/encodings", 2)
        self.layers = {side: self._count_layers(side) for side in ("encoder", "decoder")}
        for side in self.layers:
            if int(self._variables.get(f"{side}/activation", np.array(GELU))) != GELU:
                raise ValueError(f"the {side}'s activation is not GELU")

    def weights(self) -> Variables:
        """Return the weights in fp16 by transformers' names.  Raises ValueError for others."""
        named = {f"model.{name}": array.astype(np.float16) for name, array in self._named()}
        if self._unread:
            raise ValueError(f"the model has weights that no Whisper has: {min(self._unread)}")
        return {name: np.ascontiguousarray(array) for name, array in named.items()}

    def config(self, special: Mapping[str, int]) -> dict[str, Any]:
        """Return the content of config.json."""
        end, start = special["<|endoftext|>"], special["<|startoftranscript|>"]
        sides = {
            key: value
            for side, layers in self.layers.items()
            for key, value in (
                (f"{side}_layers", layers),
                (f"{side}_attention_heads", self._heads(side)),
                (f"{side}_ffn_dim", FEED_FORWARD_FACTOR * self.width),
            )
        }
        return {
            "architectures": ["WhisperForConditionalGeneration"],
            "model_type": "whisper",
            "dtype": "float16",
            "vocab_size": self.vocabulary,
            "d_model": self.width,
            "num_mel_bins": self.mel_bins,
            "num_hidden_layers": self.layers["encoder"],
            "max_source_positions": self.source_positions,
            "max_target_positions": self.target_positions,
            "activation_function": "gelu",
            "is_encoder_decoder": True,
            "tie_word_embeddings": True,
            "bos_token_id": end,
            "eos_token_id": end,
            "pad_token_id": end,
            "decoder_start_token_id": start,
            **sides,
        }

    def generation(self, settings: Mapping[str, Any], special: Mapping[str, int]) -> dict[str, Any]:
        """Return the content of generation_config.json."""
        end, start = special["<|endoftext|>"], special["<|startoftranscript|>"]
        multilingual = self.vocabulary >= MULTILINGUAL_VOCABULARY
        generation: dict[str, Any] = {
            "bos_token_id": end,
            "eos_token_id": end,
            "pad_token_id": end,
            "decoder_start_token_id": start,
            "max_length": self.target_positions,
            "is_multilingual": multilingual,
            "no_timestamps_token_id": special["<|notimestamps|>"],
            "prev_sot_token_id": special["<|startofprev|>"],
            "max_initial_timestamp_index": MAX_FIRST_TIMESTAMP,
            "return_timestamps": False,
            "suppress_tokens": settings.get("suppress_ids", []),
            "begin_suppress_tokens": settings.get("suppress_ids_begin", []),
        }
        if settings.get("alignment_heads"):
            generation["alignment_heads"] = settings["alignment_heads"]
        if multilingual:
            languages = range(start + 1, min(special["<|translate|>"], special["<|transcribe|>"]))
            names = {number: name for name, number in special.items()}
            generation["lang_to_id"] = {names[number]: number for number in languages}
            generation["task_to_id"] = {
                task: special[f"<|{task}|>"] for task in ("transcribe", "translate")
            }
        return generation

    def _named(self) -> Iterator[tuple[str, Array]]:
        yield "decoder.embed_tokens.weight", self._take("decoder/embeddings/weight")
        for conv in ("conv1", "conv2"):
            yield from self._linear(f"encoder.{conv}", f"encoder/{conv}")
        for side, layers in self.layers.items():
            positions = self._take(f"{side}/position_encodings/encodings")
            yield f"{side}.embed_positions.weight", positions
            yield from self._norm(f"{side}.layer_norm", f"{side}/layer_norm")
            for number in range(layers):
                yield from self._layer(f"{side}.layers.{number}", f"{side}/layer_{number}")

    def _layer(self, to: str, of: str) -> Iterator[tuple[str, Array]]:
        yield from self._attention(f"{to}.self_attn", f"{of}/self_attention", fused=["qkv", "o"])
        if to.startswith("decoder"):
            yield from self._attention(f"{to}.encoder_attn", f"{of}/attention", ["q", "kv", "o"])
        yield from self._linear(f"{to}.fc1", f"{of}/ffn/linear_0")
        yield from self._linear(f"{to}.fc2", f"{of}/ffn/linear_1")
        yield from self._norm(f"{to}.final_layer_norm", f"{of}/ffn/layer_norm")

    def _attention(self, to: str, of: str, fused: list[str]) -> Iterator[tuple[str, Array]]:
        """Yield the projections q, k, v and o, of which CTranslate2 stores some as one."""
        yield from self._norm(f"{to}_layer_norm", f"{of}/layer_norm")
        for number, letters in enumerate(fused):
            parts = len(letters)
            weight = self._take(f"{of}/linear_{number}/weight")
            bias = self._take(f"{of}/linear_{number}/bias")
            if weight.shape != (parts * self.width, self.width) or len(bias) != len(weight):
                raise ValueError(f"{of}/linear_{number} has the shape {weight.shape}")
            pairs = zip(np.split(weight, parts), np.split(bias, parts), strict=True)
            for letter, (weight_part, bias_part) in zip(letters, pairs, strict=True):
                name = f"{to}.{letter}_proj" if letter != "o" else f"{to}.out_proj"
                yield f"{name}.weight", weight_part
                if letter != "k":
                    yield f"{name}.bias", bias_part
                elif bias_part.any():
                    raise ValueError(f"{of} has a bias for its keys, which no Whisper has")

    def _linear(self, to: str, of: str) -> Iterator[tuple[str, Array]]:
        yield f"{to}.weight", self._take(f"{of}/weight")
        yield f"{to}.bias", self._take(f"{of}/bias")

    def _norm(self, to: str, of: str) -> Iterator[tuple[str, Array]]:
        yield f"{to}.weight", self._take(f"{of}/gamma")
        yield f"{to}.bias", self._take(f"{of}/beta")

    def _take(self, name: str) -> Array:
        array = self._find(name)
        if array.dtype.str[1:] not in WEIGHT_TYPES:
            raise ValueError(
                f"{name} is {array.dtype}: only models in float16 or float32 are converted"
            )
        self._unread.discard(name)
        return array

    def _shape(self, name: str, rank: int) -> tuple[int, ...]:
        shape: tuple[int, ...] = self._find(name).shape
        if len(shape) != rank:
            raise ValueError(f"{name} has {len(shape)} dimensions, not {rank}")
        return shape

    def _find(self, name: str) -> Array:
        try:
            return self._variables[name]
        except KeyError:
            raise ValueError(f"the model has no {name}") from None

    def _count_layers(self, side: str) -> int:
        names = {name.split("/")[1] for name in self._variables if name.startswith(f"{side}/")}
        numbers = {name.removeprefix("layer_") for name in names if name.startswith("layer_")}
        return sum(number.isdigit() for number in numbers)

    def _heads(self, side: str) -> int:
        return int(self._find(f"{side}/num_heads"))


def _special_tokens(tokenizer: Any) -> dict[str, int]:
    """Return the added tokens' numbers.  Raises ValueError where one that is needed is missing."""
    try:
        special = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    except (KeyError, TypeError) as exc:
        raise ValueError("tokenizer.json lists no added tokens") from exc
    for needed in (
        "endoftext",
        "startoftranscript",
        "transcribe",
        "translate",
        "startofprev",
        "notimestamps",
    ):
        if f"<|{needed}|>" not in special:
            raise ValueError(f"tokenizer.json has no token <|{needed}|>")
    return special


def _preprocessor(mel_bins: int) -> dict[str, Any]:
    return {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "feature_size": mel_bins,
        "sampling_rate": 16000,
        "hop_length": 160,
        "n_fft": 400,
        "chunk_length": 30,
        "n_samples": 480000,
        "nb_max_frames": 3000,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": False,
    }


def _tokenizer_config() -> dict[str, Any]:
    end = "<|endoftext|>"
    return {
        "tokenizer_class": "WhisperTokenizer",
        "bos_token": end,
        "eos_token": end,
        "unk_token": end,
        "pad_token": end,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
    }


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ValueError(f"there is no {path.name}") from None


def _read_json(path: Path) -> Any:
    try:
        return json.loads(_read(path))
    except json.JSONDecodeError as exc:
        raise ValueError(f"{path.name} is not JSON: {exc}") from exc


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")

"""What handlers that listen are tested with: calls, sounds, small Whispers made from nothing."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import WhisperConfig, WhisperForConditionalGeneration

from handler_kit.batch_handler import BatchHandler
from handler_kit.wav import Samples, to_pcm, write_wav
from tests.handlers.loaded import FakeContext, Loaded

RATE = 16000
SPOKEN = "Ever tried. Ever failed. No matter. Try again. Fail again. Fail better."
LANGUAGES = ("en", "zh", "de", "es", "ru", "ko", "fr", "ja")
TIMESTAMPS = 1501


def load(handler: BatchHandler[Any, Any, Any], folder: Path, **config: Any) -> Loaded:
    """Load *handler* with *folder*'s model on half the cores: tests share them with others."""
    config = {"warmup_iterations": 1, "max_batch_size": 4, "workers": 2} | config
    return Loaded(handler, FakeContext(folder, config))


def answers(loaded: Loaded, *clips: Samples, **parameters: Any) -> list[Any]:
    """Return the answers to *clips* as one job; all must succeed."""
    header, bodies = loaded.job(
        *[to_pcm(clip) for clip in clips], type="pcm", parameters=parameters
    )
    assert [item.error for item in header.items] == [None] * len(clips)
    return [msgspec.json.decode(body) for body in bodies]


def refusal(loaded: Loaded, clip: Samples, **parameters: Any) -> str:
    """Return why *clip* is refused."""
    header, _ = loaded.job(to_pcm(clip), type="pcm", parameters=parameters)
    (item,) = header.items
    assert item.status == 400
    assert item.error is not None
    return item.error


def wav_answer(loaded: Loaded, clip: Samples, rate: int = RATE) -> Any:
    """Return the answer to a WAV file, as plain TorchServe sends it."""
    return msgspec.json.decode(loaded.rows({"body": write_wav(to_pcm(clip), rate)})[0])


def silences(seconds: float) -> Mapping[str, Samples]:
    """Return silence, and sounds that are not speech."""
    count = int(seconds * RATE)
    noise = np.random.default_rng(1).normal(size=count)
    hum = np.sin(2 * np.pi * 50 * np.arange(count) / RATE)
    return {
        "zeros": np.zeros(count, np.float32),
        "noise": (0.1 * noise).astype(np.float32),
        "faint noise": (0.001 * noise).astype(np.float32),
        "hum": (0.3 * hum).astype(np.float32),
    }


def write_small_whisper(
    folder: Path, *, mel_bins: int = 80, languages: tuple[str, ...] = (), seed: int = 0
) -> None:
    """Write a Whisper that knows bytes and *languages* but has learned nothing."""
    special = [
        "endoftext",
        "startoftranscript",
        *(languages or LANGUAGES),
        "translate",
        "transcribe",
        "startoflm",
        "startofprev",
        "nospeech",
        "notimestamps",
    ]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({byte: at for at, byte in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(f"<|{one}|>", special=True) for one in special])
    tokenizer.save(str(folder / "tokenizer.json"))
    number = {one: tokenizer.get_vocab()[f"<|{one}|>"] for one in special}
    config = WhisperConfig(
        vocab_size=tokenizer.get_vocab_size() + TIMESTAMPS,
        num_mel_bins=mel_bins,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_target_positions=48,
        init_std=0.4,
        bos_token_id=number["endoftext"],
        eos_token_id=number["endoftext"],
        pad_token_id=number["endoftext"],
        decoder_start_token_id=number["startoftranscript"],
    )
    torch.manual_seed(seed)
    WhisperForConditionalGeneration(config).save_pretrained(folder)
    generation: dict[str, Any] = {"no_timestamps_token_id": number["notimestamps"]}
    if languages:
        generation["lang_to_id"] = {f"<|{one}|>": number[one] for one in languages}
        generation["task_to_id"] = {one: number[one] for one in ("transcribe", "translate")}
    (folder / "generation_config.json").write_text(json.dumps(generation))
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"feature_size": mel_bins, "feature_extractor_type": "WhisperFeatureExtractor"})
    )
    end = "<|endoftext|>"
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "WhisperTokenizer", "unk_token": end, "eos_token": end})
    )

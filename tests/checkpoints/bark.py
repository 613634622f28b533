"""Bark, with two voices in the hub's own files (`speaker_embeddings/`) and in ours."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import (
    BarkCoarseConfig,
    BarkConfig,
    BarkFineConfig,
    BarkModel,
    BarkSemanticConfig,
    BertTokenizer,
    EncodecConfig,
)

VOICES = ("v2/en_speaker_0", "v2/de_speaker_3")
LONGEST = 24  # tokens of text
SEMANTIC, CODES, CODEBOOKS = 20, 16, 4
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ,.?!'"
_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_LETTERS, *(f"##{c}" for c in _LETTERS)]


def build(folder: Path) -> None:
    """Write a Bark that says anything, for some tenths of a second, at 24 kHz."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {token: place for place, token in enumerate(_TOKENS)}
    BertTokenizer(vocab=vocabulary, do_lower_case=False).save_pretrained(folder)
    torch.manual_seed(0)
    model = BarkModel(_config())
    model.save_pretrained(folder)
    (folder / "generation_config.json").write_text(json.dumps(_generation()))
    _write_voices(folder)


def _config() -> BarkConfig:
    size: dict[str, Any] = {
        "num_layers": 1,
        "num_heads": 2,
        "hidden_size": 16,
        "initializer_range": 0.4,
    }
    text = SEMANTIC + 10 + len(_TOKENS) + 2
    acoustic = SEMANTIC + 2 * CODES + 4
    return BarkConfig(
        semantic_config=BarkSemanticConfig(
            block_size=64, input_vocab_size=text, output_vocab_size=SEMANTIC + 5, **size
        ).to_dict(),
        coarse_acoustics_config=BarkCoarseConfig(
            block_size=64, input_vocab_size=acoustic, output_vocab_size=acoustic, **size
        ).to_dict(),
        fine_acoustics_config=BarkFineConfig(
            block_size=32,
            input_vocab_size=CODES + 1,
            output_vocab_size=CODES + 1,
            n_codes_total=CODEBOOKS,
            **size,
        ).to_dict(),
        codec_config=EncodecConfig(
            codebook_size=CODES,
            codebook_dim=8,
            hidden_size=8,
            num_filters=4,
            num_lstm_layers=1,
            target_bandwidths=[24.0],
            upsampling_ratios=[8, 5],
            sampling_rate=24000,
        ).to_dict(),
    )


def _generation() -> dict[str, Any]:
    text = SEMANTIC + 10 + len(_TOKENS)
    return {
        "model_type": "bark",
        "codebook_size": CODES,
        "sample_rate": 24000,
        "semantic_config": {
            "eos_token_id": SEMANTIC,
            "max_new_tokens": 20,
            "do_sample": True,
            "temperature": 0.7,
            "text_encoding_offset": SEMANTIC + 10,
            "text_pad_token": text,
            "semantic_infer_token": text + 1,
            "semantic_vocab_size": SEMANTIC,
            "max_input_semantic_length": LONGEST,
        },
        "coarse_acoustics_config": {
            "do_sample": True,
            "temperature": 0.7,
            "coarse_semantic_pad_token": SEMANTIC + 2 * CODES,
            "coarse_infer_token": SEMANTIC + 2 * CODES + 2,
            "max_coarse_input_length": 16,
            "max_coarse_history": 24,
            "sliding_window_len": 12,
        },
        "fine_acoustics_config": {
            "temperature": 0.5,
            "max_fine_history_length": 16,
            "max_fine_input_length": 32,
            "n_fine_codebooks": CODEBOOKS,
        },
    }


def _write_voices(folder: Path) -> None:
    drawn = np.random.default_rng(0)
    paths: dict[str, object] = {"repo_or_path": "."}
    tensors = {}
    for voice in VOICES:
        prompts = {
            "semantic_prompt": drawn.integers(0, SEMANTIC, 12),
            "coarse_prompt": drawn.integers(0, CODES, (2, 18)),
            "fine_prompt": drawn.integers(0, CODES, (CODEBOOKS, 18)),
        }
        paths[voice] = {name: f"speaker_embeddings/{voice}_{name}.npy" for name in prompts}
        for name, prompt in prompts.items():
            path = folder / "speaker_embeddings" / f"{voice}_{name}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, prompt)
            tensors[f"{voice}.{name}"] = torch.from_numpy(prompt)
    (folder / "speaker_embeddings_path.json").write_text(json.dumps(paths))
    save_file(tensors, folder / "voices.safetensors")

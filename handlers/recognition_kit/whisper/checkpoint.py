"""Loads a Whisper checkpoint from a folder: network, tokenizer, vocabulary and mel filters."""

from pathlib import Path
from typing import Any

import msgspec
import torch
from tokenizers import Tokenizer
from transformers import AutoTokenizer, WhisperForConditionalGeneration

from handler_kit.errors import LoadError
from handler_kit.hub_checkpoint import load_model, load_tokenizer
from recognition_kit.whisper.mel import LogMel, load_mel
from recognition_kit.whisper.network import WhisperNetwork
from recognition_kit.whisper.vocabulary import Vocabulary, read_vocabulary


class WhisperCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of a checkpoint.

    *alignment_heads* are the attention heads (layer, head) that attend to the audio being
    transcribed; none if the checkpoint does not name them.
    """

    network: WhisperNetwork
    tokenizer: Tokenizer
    vocabulary: Vocabulary
    mel: LogMel
    max_positions: int  # tokens, prompt and transcript together
    alignment_heads: tuple[tuple[int, int], ...]


def load_checkpoint(folder: Path, device: torch.device) -> WhisperCheckpoint:
    """Load the folder's Whisper in fp32 onto *device*, from safetensors only.  Raises LoadError."""
    whisper = load_model(WhisperForConditionalGeneration, folder, device)
    tokenizer = load_tokenizer(AutoTokenizer, folder).backend_tokenizer
    tokenizer.encode_special_tokens = True  # "<|endoftext|>" in a prompt is text
    mel = load_mel(folder, device)
    config = whisper.config
    if mel.max_frames != 2 * config.max_source_positions:
        raise LoadError(
            "preprocessor_config.json does not belong to this model: its clips differ in length"
        )
    return WhisperCheckpoint(
        network=WhisperNetwork(whisper).eval(),
        tokenizer=tokenizer,
        vocabulary=read_vocabulary(tokenizer, whisper.generation_config, config.vocab_size),
        mel=mel,
        max_positions=config.max_target_positions,
        alignment_heads=_alignment_heads(whisper.generation_config),
    )


def _alignment_heads(generation: Any) -> tuple[tuple[int, int], ...]:
    heads = getattr(generation, "alignment_heads", None) or []
    return tuple((int(layer), int(head)) for layer, head in heads)

"""A Whisper checkpoint from its archive's folder: network, tokenizer, vocabulary, mel."""

from pathlib import Path
from typing import Any

import msgspec
import torch
from tokenizers import Tokenizer
from transformers import WhisperForConditionalGeneration
from transformers.utils.logging import disable_progress_bar

from handler_kit.errors import LoadError
from handler_kit.text_encoder import load_tokenizer
from recognition_kit.whisper.mel import LogMel, load_mel
from recognition_kit.whisper.network import WhisperNetwork
from recognition_kit.whisper.vocabulary import Vocabulary, read_vocabulary


class WhisperCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder holds.  *alignment_heads* are (layer, head): where the decoder looks at the
    moment it writes down; empty where the checkpoint does not tell."""

    network: WhisperNetwork
    tokenizer: Tokenizer
    vocabulary: Vocabulary
    mel: LogMel
    max_positions: int  # tokens, prompt and transcript together
    alignment_heads: tuple[tuple[int, int], ...]


def load_checkpoint(folder: Path, device: torch.device) -> WhisperCheckpoint:
    """The folder's Whisper in fp32 on *device*, from safetensors only.  Raises LoadError."""
    disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        whisper = WhisperForConditionalGeneration.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
        )
    except Exception as exc:
        raise LoadError(f"cannot load the model: {exc}") from exc
    tokenizer = load_tokenizer(folder).backend_tokenizer
    tokenizer.encode_special_tokens = True  # "<|endoftext|>" in a prompt is text
    mel = load_mel(folder, device)
    config = whisper.config
    if mel.max_frames != 2 * config.max_source_positions:
        raise LoadError("preprocessor_config.json is of another model: its clips' length differs")
    return WhisperCheckpoint(
        network=WhisperNetwork(whisper).eval().to(device),
        tokenizer=tokenizer,
        vocabulary=read_vocabulary(tokenizer, whisper.generation_config, config.vocab_size),
        mel=mel,
        max_positions=config.max_target_positions,
        alignment_heads=_alignment_heads(whisper.generation_config),
    )


def _alignment_heads(generation: Any) -> tuple[tuple[int, int], ...]:
    heads = getattr(generation, "alignment_heads", None) or []
    return tuple((int(layer), int(head)) for layer, head in heads)

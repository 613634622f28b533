"""SpeechT5 with its vocoder, two voices, and a WavLM that hears voices."""

import io
import json
from pathlib import Path

import sentencepiece
import torch
from safetensors.torch import save_file
from transformers import (
    SpeechT5Config,
    SpeechT5ForTextToSpeech,
    SpeechT5HifiGan,
    SpeechT5HifiGanConfig,
    Wav2Vec2FeatureExtractor,
    WavLMConfig,
    WavLMForXVector,
)

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ,.?!'-"
VOICES = ("slt", "bdl")
SIZE = 512
MELS = 8


def build(folder: Path, *, xvector: bool = True) -> None:
    """Write a voice that reads LETTERS, at 16 kHz; it stops at random, after a second or so."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_tokenizer(folder)
    torch.manual_seed(0)
    model = SpeechT5ForTextToSpeech(
        SpeechT5Config(
            vocab_size=len(LETTERS) + 5,
            hidden_size=16,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=32,
            decoder_ffn_dim=32,
            num_mel_bins=MELS,
            speech_decoder_prenet_units=8,
            speech_decoder_postnet_units=8,
            speech_decoder_postnet_layers=2,
            speaker_embedding_dim=SIZE,
            max_text_positions=60,
            max_speech_positions=400,
            initializer_range=0.3,
        )
    )
    with torch.no_grad():
        model.speech_decoder_postnet.prob_out.weight.normal_(std=0.7)
        model.speech_decoder_postnet.prob_out.bias.fill_(-8.5)
    model.save_pretrained(folder)
    _write_vocoder(folder / "vocoder")
    save_file({name: torch.randn(SIZE) for name in VOICES}, folder / "speakers.safetensors")
    if xvector:
        write_xvector(folder / "xvector", SIZE)


def write_xvector(folder: Path, size: int) -> None:
    """Write a WavLM that makes *size* numbers of a voice."""
    torch.manual_seed(1)
    WavLMForXVector(
        WavLMConfig(
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            conv_dim=(8, 8),
            conv_kernel=(10, 8),
            conv_stride=(20, 16),
            num_conv_pos_embeddings=8,
            num_conv_pos_embedding_groups=2,
            tdnn_dim=(16, 16, 32),
            tdnn_kernel=(5, 3, 1),
            tdnn_dilation=(1, 2, 1),
            xvector_output_dim=size,
        )
    ).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)


def _write_vocoder(folder: Path) -> None:
    vocoder = SpeechT5HifiGan(
        SpeechT5HifiGanConfig(
            model_in_dim=MELS,
            upsample_initial_channel=16,
            upsample_rates=[8, 8],
            upsample_kernel_sizes=[16, 16],
            resblock_kernel_sizes=[3],
            resblock_dilation_sizes=[[1, 3]],
            initializer_range=0.2,
        )
    )
    vocoder.mean.normal_()
    vocoder.save_pretrained(folder)


def _write_tokenizer(folder: Path) -> None:
    """Write a SentencePiece tokenizer: a piece per letter, and the published numbers of marks."""
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([f"{letter} {LETTERS}" for letter in LETTERS]),
        model_writer=trained,
        model_type="char",
        vocab_size=len(LETTERS) + 5,
        character_coverage=1.0,
        bos_id=0,
        pad_id=1,
        eos_id=2,
        unk_id=3,
        minloglevel=2,
    )
    (folder / "spm_char.model").write_bytes(trained.getvalue())
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "SpeechT5Tokenizer", "model_max_length": 60})
    )

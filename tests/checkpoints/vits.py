"""MMS-TTS's layout: VitsModel, VitsTokenizer."""

import json
from pathlib import Path

import torch
from transformers import VitsConfig, VitsModel, VitsTokenizer

LETTERS = " abcdefghijklmnopqrstuvwxyz'-äöüß"


def build(
    folder: Path,
    *,
    speakers: int = 1,
    stochastic: bool = True,
    uroman: bool = False,
    letters: str = LETTERS,
) -> None:
    """Write a voice that reads *letters*, at 16 kHz."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = folder / "vocab.json"
    marks = ["_", *letters, "<unk>"]
    vocabulary.write_text(json.dumps({mark: place for place, mark in enumerate(marks)}))
    tokenizer = VitsTokenizer(
        str(vocabulary), pad_token="_", language="deu", phonemize=False, is_uroman=uroman
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    VitsModel(
        VitsConfig(
            vocab_size=len(marks),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            ffn_dim=32,
            flow_size=8,
            spectrogram_bins=9,
            num_speakers=speakers,
            speaker_embedding_size=4 if speakers > 1 else 0,
            use_stochastic_duration_prediction=stochastic,
            upsample_initial_channel=16,
            upsample_rates=[8, 4],
            upsample_kernel_sizes=[16, 8],
            resblock_kernel_sizes=[3],
            resblock_dilation_sizes=[[1, 3]],
            posterior_encoder_num_wavenet_layers=1,
            prior_encoder_num_flows=2,
            prior_encoder_num_wavenet_layers=2,
            duration_predictor_num_flows=2,
            duration_predictor_filter_channels=16,
            depth_separable_num_layers=1,
        )
    ).save_pretrained(folder)

"""Wav2Vec2 with a CTC head."""

import json
from pathlib import Path

import torch
from transformers import (
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
)

MARKS = ["<pad>", "<s>", "</s>", "<unk>", "|"]
LETTERS = "ETAOINSHRDLUMWCFGYPBVK'XJQZ"


def build(folder: Path, *, masks: bool = True) -> None:
    """Write one that spells LETTERS; *masks* as in the large checkpoints, not the base ones."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = folder / "vocab.json"
    tokens = [*MARKS, *LETTERS]
    vocabulary.write_text(json.dumps({token: place for place, token in enumerate(tokens)}))
    Wav2Vec2CTCTokenizer(str(vocabulary)).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(return_attention_mask=masks).save_pretrained(folder)
    torch.manual_seed(0)
    model = Wav2Vec2ForCTC(
        Wav2Vec2Config(
            vocab_size=len(tokens),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            conv_dim=(8, 8, 8),
            conv_kernel=(10, 8, 4),
            conv_stride=(5, 8, 8),
            feat_extract_norm="layer" if masks else "group",
            num_conv_pos_embeddings=8,
            num_conv_pos_embedding_groups=2,
            do_stable_layer_norm=masks,
            pad_token_id=0,
        )
    )
    with torch.no_grad():
        model.lm_head.weight.normal_(std=1.5)
        model.lm_head.bias[1:4] = -100.0  # marks that nobody says
        model.lm_head.bias[0] = 1.0
    model.save_pretrained(folder)

"""Moonshine."""

from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    MoonshineConfig,
    MoonshineForConditionalGeneration,
    PreTrainedTokenizerFast,
    Wav2Vec2FeatureExtractor,
)


def build(folder: Path) -> None:
    """Write a Moonshine whose tokens are bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    marks = ["<unk>", "<s>", "</s>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({mark: at for at, mark in enumerate([*marks, *alphabet])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(mark, special=True) for mark in marks])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    ).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True).save_pretrained(folder)
    torch.manual_seed(0)
    model = MoonshineForConditionalGeneration(
        MoonshineConfig(
            vocab_size=tokenizer.get_vocab_size(),
            hidden_size=16,
            intermediate_size=32,
            encoder_num_hidden_layers=1,
            decoder_num_hidden_layers=1,
            encoder_num_attention_heads=2,
            decoder_num_attention_heads=2,
            max_position_embeddings=32,
            initializer_range=0.5,
            pad_token_id=2,
        )
    )
    model.save_pretrained(folder)

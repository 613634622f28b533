"""BART, which rewrites what it is given as letters."""

from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import BartConfig, BartForConditionalGeneration, PreTrainedTokenizerFast

MARKS = ["<s>", "<pad>", "</s>", "<unk>"]
LETTERS = "Ġabcdefghijklmnopqrstuvwxyz"
LONGEST = 64


def build(folder: Path) -> None:
    """Write a BART that reads and writes LETTERS."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = {token: at for at, token in enumerate([*MARKS, *LETTERS])}
    tokenizer = Tokenizer(models.BPE(numbers, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(mark, special=True) for mark in MARKS])
    tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=LONGEST,
    ).save_pretrained(folder)
    torch.manual_seed(0)
    model = BartForConditionalGeneration(
        BartConfig(
            vocab_size=len(numbers),
            d_model=16,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=32,
            decoder_ffn_dim=32,
            max_position_embeddings=LONGEST,
            init_std=0.8,
        )
    )
    model.final_logits_bias[0, :4] = -100.0  # it writes letters alone, to its limit
    model.save_pretrained(folder)

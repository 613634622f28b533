"""Networks for texts: BERT's three heads, BART's two, GPT-2 and T5."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoTokenizer,
    BartConfig,
    BartForConditionalGeneration,
    BartForSequenceClassification,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertForTokenClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from tests.checkpoints.text_tokenizers import (
    LONGEST,
    write_byte_pairs,
    write_unigrams,
    write_word_pieces,
)

MOODS = ("sad", "calm", "happy", "angry", "excited", "bored")
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
ENTAILMENT = ("contradiction", "neutral", "entailment")
PREFIX = "a lazy fox "  # T5's before a text that is to be summarised
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message.role == 'tool' %}{{ raise_exception('no tools') }}{% endif %}"
    "{{ message.role }}: {{ message.content }}\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
BART_MARKS = {
    "bos_token": "<s>",
    "pad_token": "<pad>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "cls_token": "<s>",
    "sep_token": "</s>",
    "mask_token": "<mask>",
}
BART_SIZES: dict[str, Any] = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": LONGEST,
    "init_std": 0.5,
}


def build_classifier(folder: Path, **more: Any) -> None:
    """Write a BERT with MOODS as labels; *more* goes into its configuration."""
    _bert(folder, BertForSequenceClassification, **({"id2label": dict(enumerate(MOODS))} | more))


def build_ranker(folder: Path, **more: Any) -> None:
    """Write a cross-encoder: a BERT with one label; *more* goes into its configuration."""
    build_classifier(folder, id2label={0: "LABEL_0"}, **more)


def build_tagger(folder: Path) -> None:
    """Write a BERT with TAGS as labels."""
    _bert(folder, BertForTokenClassification, id2label=dict(enumerate(TAGS)))


def build_masked(folder: Path) -> None:
    """Write a BERT that fills in [MASK]."""
    _bert(folder, BertForMaskedLM)


def build_entailment(folder: Path) -> None:
    """Write a BART for telling whether a sentence follows (bart-large-mnli), though untrained."""
    size = write_byte_pairs(folder, "<s> $A </s>", **BART_MARKS)
    torch.manual_seed(2)
    config = BartConfig(
        vocab_size=size,
        id2label=dict(enumerate(ENTAILMENT)),
        label2id={label: number for number, label in enumerate(ENTAILMENT)},
        **BART_SIZES,
    )
    BartForSequenceClassification(config).save_pretrained(folder)


def build_gpt2(folder: Path) -> None:
    """Write a GPT-2, without a pad token as published; its texts end sooner or later."""
    end = "<|endoftext|>"
    size = write_byte_pairs(folder, bos_token=end, eos_token=end, unk_token=end)
    torch.manual_seed(3)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=size,
            n_embd=32,
            n_layer=2,
            n_head=4,
            n_positions=LONGEST,
            initializer_range=0.5,
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    model.transformer.wte.weight.data[0] *= 1.5
    model.save_pretrained(folder)


def build_chat(folder: Path) -> None:
    """Write the same GPT-2 with a template for chats; it does not know the role `tool`."""
    build_gpt2(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)


def build_llama(folder: Path) -> None:
    """Write a Llama, whose tokens begin with the space before a word, as SentencePiece's do."""
    size = write_unigrams(folder, ends=False)
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=LONGEST,
        initializer_range=0.5,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
    )
    model = LlamaForCausalLM(config)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    begins = [number for token, number in tokenizer.get_vocab().items() if token.startswith("▁")]
    model.lm_head.weight.data[begins] *= 3  # it likes to begin words
    model.save_pretrained(folder)


def build_bart(folder: Path) -> None:
    """Write a BART that rewrites, with smaller lengths and beams than bart-large-cnn asks for."""
    size = write_byte_pairs(folder, "<s> $A </s>", **BART_MARKS)
    torch.manual_seed(4)
    model = BartForConditionalGeneration(BartConfig(vocab_size=size, **BART_SIZES))
    model.final_logits_bias[0, 2] = 2.0
    model.generation_config.update(
        num_beams=2, max_length=24, min_length=6, no_repeat_ngram_size=3, early_stopping=True
    )
    model.save_pretrained(folder)


def build_t5(folder: Path) -> None:
    """Write a T5, which is told in words to summarise."""
    size = write_unigrams(folder)
    torch.manual_seed(5)
    published: dict[str, Any] = {
        "decoder_start_token_id": 0,
        "task_specific_params": {"summarization": {"prefix": PREFIX}},
    }
    config = T5Config(
        vocab_size=size,
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        initializer_factor=2.0,
        pad_token_id=0,
        eos_token_id=1,
        **published,
    )
    T5ForConditionalGeneration(config).save_pretrained(folder)


def _bert(folder: Path, kind: Any, **more: Any) -> None:
    size = write_word_pieces(folder)
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=LONGEST,
        initializer_range=0.3,
        **more,
    )
    kind(config).save_pretrained(folder)

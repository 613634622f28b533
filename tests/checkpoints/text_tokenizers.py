"""Small tokenizers of each kind that networks for texts have, which know the sample texts."""

from collections.abc import Mapping
from pathlib import Path
from string import ascii_lowercase
from typing import Any

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from handler_kit.text_input import sample_texts

LONGEST = 64
BERT_MARKS = {
    "unk_token": "[UNK]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
}


def write_word_pieces(folder: Path) -> int:
    """Write BERT's kind: words, and letters for unknown ones; return its size."""
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = {word for text in sample_texts(8) for word in text.split()}
    pieces = [*ascii_lowercase, *(f"##{letter}" for letter in ascii_lowercase), ".", "-"]
    known = dict.fromkeys([*marks, *pieces, *sorted(words)])
    vocabulary = {piece: number for number, piece in enumerate(known)}
    tokenizer = Tokenizer(
        models.WordPiece(vocabulary, unk_token="[UNK]", continuing_subword_prefix="##")
    )
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return _save(folder, tokenizer, BERT_MARKS | {"mask_token": "[MASK]"})


def write_words(folder: Path, longest: int = LONGEST) -> int:
    """Write a tokenizer of whole words, texts of at most *longest* tokens; return its size."""
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    words = sorted({word for text in sample_texts(8) for word in text.split()})
    vocabulary = {word: number for number, word in enumerate([*marks, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return _save(folder, tokenizer, BERT_MARKS, longest)


def write_byte_pairs(folder: Path, template: str | None = None, **marks: str) -> int:
    """Write GPT-2's and BART's kind: bytes and frequent pairs; return its size.

    *marks* are special tokens; *template* is how one text, and a pair, begin and end.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = list(dict.fromkeys(marks.values()))
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=special,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(sample_texts(8), trainer)
    if template is not None:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=template,
            pair=f"{template} {template.replace('$A', '$B').replace('<s>', '</s>')}",
            special_tokens=[(mark, special.index(mark)) for mark in special],
        )
    return _save(folder, tokenizer, marks)


def write_unigrams(folder: Path, *, ends: bool = True) -> int:
    """Write T5's kind: pieces of words, a space before words, an end after texts; return its size.

    Llama's kind has no end there (*ends*).
    """
    marks = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=150,
        special_tokens=list(marks.values()),
        unk_token="<unk>",
        initial_alphabet=list(ascii_lowercase),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sample_texts(8), trainer)
    if ends:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="$A </s>", special_tokens=[("</s>", 1)]
        )
    return _save(folder, tokenizer, marks)


def _save(folder: Path, tokenizer: Any, marks: Mapping[str, str], longest: int = LONGEST) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.add_special_tokens([AddedToken(mark, special=True) for mark in set(marks.values())])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=longest, **marks
    ).save_pretrained(folder)
    return int(tokenizer.get_vocab_size())

"""A network that rewrites a text before it is spoken (BART: https://arxiv.org/abs/1910.13461)."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from handler_kit.errors import InvalidInput
from handler_kit.hub_checkpoint import load_model, load_tokenizer
from synthesis_kit.options import TextStageOptions


class TextStage:
    """A checkpoint that rewrites: BART itself repeats, one trained on news summarises."""

    def __init__(self, folder: Path, options: TextStageOptions, device: torch.device) -> None:
        """Load the network and its tokenizer.  Raises LoadError."""
        self._model: Any = load_model(AutoModelForSeq2SeqLM, folder / options.folder, device)
        self._tokenizer = load_tokenizer(AutoTokenizer, folder / options.folder)
        self._options = options
        self._longest = int(self._model.config.max_position_embeddings)

    @torch.inference_mode()
    def rewritten(self, text: str) -> str:
        """Return what is spoken instead of *text*.  Raises InvalidInput for too long a text."""
        inputs = self._tokenizer(text, return_tensors="pt")
        count = inputs["input_ids"].shape[1]
        if count > self._longest:
            raise InvalidInput(
                f"The text has {count} tokens; at most {self._longest} can be rewritten"
            )
        tokens = self._model.generate(
            inputs["input_ids"].to(self._model.device),
            attention_mask=inputs["attention_mask"].to(self._model.device),
            max_new_tokens=min(self._options.max_new_tokens, self._longest - 1),
            num_beams=self._options.beams,
            do_sample=False,
        )
        said: str = self._tokenizer.decode(tokens[0], skip_special_tokens=True)
        return said.strip()

"""MiniLM as a plain handler of TorchServe's: it pads the texts of a batch, and computes in fp32.

It is packed into an archive whose configuration names the checkpoint's folder.
"""

from typing import Any

import torch
from transformers import AutoModel, AutoTokenizer

LONGEST = 256  # tokens


class PlainEmbedder:
    """What one writes first."""

    def initialize(self, context: Any) -> None:
        """Load the model."""
        folder = context.model_yaml_config["handler"]["folder"]
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._model = AutoModel.from_pretrained(folder).eval()

    @torch.inference_mode()
    def handle(self, data: list[dict[str, Any]], _: Any) -> list[list[float]]:
        """Answer a batch of texts."""
        texts = [bytes(row["body"]).decode() for row in data]
        tokens = self._tokenizer(
            texts, padding=True, truncation=True, max_length=LONGEST, return_tensors="pt"
        )
        states = self._model(**tokens).last_hidden_state
        mask = tokens["attention_mask"][..., None]
        mean = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1))
        vectors: list[list[float]] = mean.tolist()
        return vectors

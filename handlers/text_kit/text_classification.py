"""Classifies a text with the labels of the checkpoint."""

from collections.abc import Sequence
from typing import Any

import torch

from text_kit.parameters import RankingParameters, parse_parameters
from text_kit.reading_task import EncodedText, ReadingTask
from text_kit.scores import Scored, best


class TextClassification(ReadingTask):
    """Answers `[{label, score}]`, best first."""

    def read(self, text: str, parameters: dict[str, Any]) -> EncodedText:
        """Return the tokens.  Raises InvalidInput."""
        asked = parse_parameters(parameters, RankingParameters)
        return EncodedText(text=text, rows=(self.row(self.encoded(text)),), asked=asked)

    def answer(self, question: EncodedText, logits: Sequence[torch.Tensor]) -> list[Scored]:
        """Return the labels with the highest scores."""
        labels = [self.config.id2label[number] for number in range(len(logits[0]))]
        return best(labels, self._scores(logits[0]), question.asked.top_k)

    def _scores(self, logits: torch.Tensor) -> torch.Tensor:
        """Return scores according to the checkpoint's training: softmax, sigmoid or regression."""
        kind = self.config.problem_type
        if kind == "regression":
            return logits
        if kind == "multi_label_classification" or len(logits) == 1:
            return logits.sigmoid()
        return logits.softmax(0)

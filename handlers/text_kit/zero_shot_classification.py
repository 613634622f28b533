"""Classifies a text with labels that the client provides.

A network trained for natural language inference judges, for each label, whether the text entails a
sentence that contains the label (https://arxiv.org/abs/1909.00161).
"""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import torch
from msgspec import Meta

from handler_kit.errors import InvalidInput, LoadError
from text_kit.checkpoint import TextCheckpoint
from text_kit.options import TextOptions
from text_kit.parameters import TopK, parse_parameters
from text_kit.reading_task import EncodedText, ReadingTask
from text_kit.scores import Scored, best

BLANK = "{}"
CandidateLabel = Annotated[str, Meta(min_length=1, max_length=1000)]


class ZeroShotParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """With *multi_label*, each label is scored independently; otherwise the scores add up to 1."""

    candidate_labels: Annotated[tuple[CandidateLabel, ...], Meta(min_length=1)]
    hypothesis_template: Annotated[str, Meta(max_length=1000)] = f"This example is {BLANK}."
    multi_label: bool = False
    top_k: TopK = 5

    def __post_init__(self) -> None:
        if self.hypothesis_template.count(BLANK) != 1:
            raise ValueError(
                f"hypothesis_template must contain {BLANK}, for the label, exactly once"
            )


class ZeroShotClassification(ReadingTask):
    """Answers `[{label, score}]`, best first."""

    def __init__(self, checkpoint: TextCheckpoint, options: TextOptions) -> None:
        """Raise LoadError for a network without a label for entailment."""
        super().__init__(checkpoint, options)
        named = self.config.id2label
        entailing = [at for at, label in named.items() if label.lower().startswith("entail")]
        if not entailing or len(named) < 2:
            raise LoadError(
                "task zero_shot_classification needs a network with a label 'entailment', "
                f"but this one has {', '.join(sorted(named.values()))}"
            )
        self._entailment = entailing[0]
        self._contradiction = -1 if self._entailment == 0 else 0  # as in transformers' pipeline

    def read(self, text: str, parameters: dict[str, Any]) -> EncodedText:
        """Return a row per label.  Raises InvalidInput."""
        asked = parse_parameters(parameters, ZeroShotParameters)
        count = len(asked.candidate_labels)
        if count > self.options.max_labels:
            raise InvalidInput(
                f"candidate_labels: must be at most {self.options.max_labels} labels, not {count}"
            )
        hypotheses = (
            asked.hypothesis_template.replace(BLANK, label) for label in asked.candidate_labels
        )
        rows = tuple(self.row(self.encoded(text, hypothesis)) for hypothesis in hypotheses)
        return EncodedText(text=text, rows=rows, asked=asked)

    def answer(self, question: EncodedText, logits: Sequence[torch.Tensor]) -> list[Scored]:
        """Return the labels, the most probably entailed first."""
        said = torch.stack(list(logits))
        labels = question.asked.candidate_labels
        if question.asked.multi_label or len(labels) == 1:
            scores = said[:, [self._contradiction, self._entailment]].softmax(1)[:, 1]
        else:
            scores = said[:, self._entailment].softmax(0)
        return best(labels, scores, question.asked.top_k)

    def probe(self, text: str) -> tuple[str, dict[str, Any]]:
        """Return *text* and two labels."""
        return text, {"candidate_labels": ["brown", "quick"]}

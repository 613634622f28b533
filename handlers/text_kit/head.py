"""Which checkpoints suit a task: those with the right head, in transformers' terms."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
)

from handler_kit.errors import LoadError
from text_kit.options import TaskName


class Head(NamedTuple):
    """A head.  *kind* loads it; *classes* has the names of its classes by `model_type`."""

    kind: Any
    classes: Mapping[str, Any]

    def names(self, model_type: str) -> tuple[str, ...]:
        """Return the classes of *model_type* that have this head."""
        found = self.classes.get(model_type, ())
        return (found,) if isinstance(found, str) else tuple(found)


_CLASSIFIER = Head(
    AutoModelForSequenceClassification, MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES
)
_REWRITER = Head(AutoModelForSeq2SeqLM, MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES)
HEADS: dict[TaskName, Head] = {
    "text_classification": _CLASSIFIER,
    "zero_shot_classification": _CLASSIFIER,
    "text_ranking": _CLASSIFIER,
    "token_classification": Head(
        AutoModelForTokenClassification, MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES
    ),
    "fill_mask": Head(AutoModelForMaskedLM, MODEL_FOR_MASKED_LM_MAPPING_NAMES),
    "text_generation": Head(AutoModelForCausalLM, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES),
    "summarization": _REWRITER,
    "text2text_generation": _REWRITER,
}


def fitting_head(task: TaskName, config: Any) -> Head:
    """Return the head for *task*, if a checkpoint with *config* may have it.  Raises LoadError.

    A checkpoint that names no head (facebook/bart-large says BartModel) may have one whose weights
    are tied to others.  Loading it will show whether it does.
    """
    head = HEADS[task]
    fitting = head.names(config.model_type)
    if not fitting:
        raise LoadError(f"task {task}: {config.model_type} networks do not support it")
    others = {name for each in HEADS.values() for name in each.names(config.model_type)}
    stated = set(config.architectures or ())
    if stated & others and not stated & set(fitting):
        raise LoadError(
            f"task {task} needs a {fitting[0]}, "
            f"but this checkpoint is a {', '.join(sorted(stated))}"
        )
    return head

"""Models that know themselves how to run in a lower precision."""

from torch import nn

from handler_kit.config import Precision


class OwnForm:
    """Switches *model* to its own form in *precision*, until `undo`.

    Such a model has an attribute `in_int8` or `in_bf16`, which is set.
    """

    def __init__(self, model: nn.Module, precision: Precision) -> None:
        self._model = model
        self._attribute = _attribute(precision)
        setattr(model, self._attribute, True)

    def undo(self) -> None:
        """Switch the model back to fp32."""
        setattr(self._model, self._attribute, False)


def has_own_form(model: nn.Module, precision: Precision) -> bool:
    """Return whether *model* has a form of its own in *precision*."""
    return hasattr(model, _attribute(precision))


def _attribute(precision: Precision) -> str:
    return f"in_{precision}"

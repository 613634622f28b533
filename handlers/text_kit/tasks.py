"""The tasks by their names in the options."""

from importlib import import_module
from pathlib import Path

import torch

from text_kit.checkpoint import load_checkpoint
from text_kit.options import TaskName, TextOptions
from text_kit.task import Task

_CLASSES: dict[TaskName, tuple[str, str]] = {
    "text_classification": ("text_classification", "TextClassification"),
    "token_classification": ("token_classification", "TokenClassification"),
    "fill_mask": ("fill_mask", "FillMask"),
    "zero_shot_classification": ("zero_shot_classification", "ZeroShotClassification"),
    "text_generation": ("text_generation", "TextGeneration"),
    "summarization": ("text2text_generation", "Text2TextGeneration"),
    "text2text_generation": ("text2text_generation", "Text2TextGeneration"),
}


def load_task(folder: Path, device: torch.device, options: TextOptions) -> Task:
    """The task that *options* name, with the checkpoint in *folder*, from safetensors only.

    Raises LoadError where the two do not fit.  Only the one that is wanted is imported.
    """
    module, name = _CLASSES[options.task]
    kind = getattr(import_module(f"text_kit.{module}"), name)
    task: Task = kind(load_checkpoint(folder, device, options), options)
    return task

"""Checkpoints in the layout of the Hugging Face hub, loaded from an archive's folder."""

from pathlib import Path
from typing import Any

import torch
from transformers.utils.logging import disable_progress_bar

from handler_kit.errors import LoadError

ONLY_TRAINING = "masked_spec_embed"  # not in published Wav2Vec2 checkpoints
FROM_FOLDER = {"local_files_only": True, "trust_remote_code": False}


def load_model(kind: Any, folder: Path, device: torch.device) -> Any:
    """Load *kind*, a class of transformers, from *folder*'s safetensors, in fp32 for inference.

    Raises LoadError, also if a weight is missing.
    """
    disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model, report = kind.from_pretrained(
            folder,
            **FROM_FOLDER,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except Exception as exc:
        raise LoadError(f"cannot load {kind.__name__} from {folder.name}: {exc}") from exc
    missing = [key for key in report["missing_keys"] if not key.endswith(ONLY_TRAINING)]
    if missing:
        some = ", ".join(sorted(missing)[:3])
        raise LoadError(f"{folder.name} is incomplete; missing: {some}")
    return model.eval().requires_grad_(requires_grad=False).to(device)


def load_tokenizer(kind: Any, folder: Path) -> Any:
    """Load *kind*'s tokenizer or processor from *folder*.  Raises LoadError."""
    try:
        return kind.from_pretrained(folder, **FROM_FOLDER)
    except Exception as exc:
        raise LoadError(f"cannot load {kind.__name__} from {folder.name}: {exc}") from exc

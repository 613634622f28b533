"""Classifiers of images: ResNet, MobileNetV2 and ViT."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    MobileNetV2Config,
    MobileNetV2ForImageClassification,
    ResNetConfig,
    ResNetForImageClassification,
    ViTConfig,
    ViTForImageClassification,
)
from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil
from transformers.models.mobilenet_v2.image_processing_pil_mobilenet_v2 import (
    MobileNetV2ImageProcessorPil,
)
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

LABELS = ("cat", "dog", "fox", "owl", "hen", "elk", "bee")
SIDE = 32


def build_resnet(folder: Path) -> None:
    """Write a ResNet that resizes and crops as `microsoft/resnet-18` does."""
    config = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", **_labels()
    )
    processor = ConvNextImageProcessorPil(size={"shortest_edge": SIDE}, crop_pct=0.875)
    _save(folder, ResNetForImageClassification, config, processor)


def build_mobilenet(folder: Path) -> None:
    """Write a MobileNet like `google/mobilenet_v2_1.0_224`."""
    config = MobileNetV2Config(depth_multiplier=0.1, image_size=SIDE, **_labels())
    processor = MobileNetV2ImageProcessorPil(
        size={"shortest_edge": SIDE + 8}, crop_size={"height": SIDE, "width": SIDE}
    )
    _save(folder, MobileNetV2ForImageClassification, config, processor)


def build_vit(folder: Path) -> None:
    """Write a ViT like `google/vit-base-patch16-224`."""
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=SIDE,
        patch_size=8,
        **_labels(),
    )
    processor = ViTImageProcessorPil(size={"height": SIDE, "width": SIDE})
    _save(folder, ViTForImageClassification, config, processor)


def _labels() -> dict[str, Any]:
    return {
        "id2label": dict(enumerate(LABELS)),
        "label2id": {label: place for place, label in enumerate(LABELS)},
        "initializer_range": 0.5,
    }


def _save(folder: Path, kind: Any, config: Any, processor: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    network = kind(config)
    last = _last(network)
    torch.nn.init.normal_(last.weight, std=2 / last.in_features**0.5)  # else labels are alike
    network.save_pretrained(folder)
    processor.save_pretrained(folder)


def _last(network: torch.nn.Module) -> Any:
    return [each for each in network.modules() if isinstance(each, torch.nn.Linear)][-1]

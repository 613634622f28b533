"""Every family of the hub's models: its checkpoint, and which voice or task it gets here."""

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from tests.checkpoints import bark, images, moonshine, speecht5, text, vits, wav2vec2


class Family(NamedTuple):
    """*besides* are other repositories that are fetched with it: their folder in the first."""

    name: str
    build: Callable[[Path], None]
    pipeline: str
    options: dict[str, Any]
    besides: MappingProxyType[str, str] = MappingProxyType({})


VOICES = (
    Family("vits", vits.build, "text-to-speech", {"voices": {"default": {}}}),
    Family(
        "speecht5",
        speecht5.build,
        "text-to-speech",
        {"voices": {"bdl": {}, "slt": {}}},
        MappingProxyType({"microsoft/speecht5_hifigan": "vocoder"}),
    ),
    Family(
        "bark",
        bark.build,
        "text-to-speech",
        {"voices": {"v2/de_speaker_3": {}, "v2/en_speaker_0": {}}},
    ),
)
EARS = (
    Family("wav2vec2", wav2vec2.build, "automatic-speech-recognition", {}),
    Family("moonshine", moonshine.build, "automatic-speech-recognition", {}),
)
EYES = (
    Family("resnet", images.build_resnet, "image-classification", {}),
    Family("mobilenet", images.build_mobilenet, "image-classification", {}),
    Family("vit", images.build_vit, "image-classification", {}),
)
READERS = (
    Family("text_classification", text.build_classifier, "text-classification", {}),
    Family("entities", text.build_tagger, "token-classification", {}),
    Family("fill_mask", text.build_masked, "fill-mask", {}),
    Family("zero_shot_classification", text.build_entailment, "zero-shot-classification", {}),
    Family("text_ranking", text.build_ranker, "text-ranking", {}),
    Family("text_generation", text.build_chat, "text-generation", {}),
    Family("summarization", text.build_bart, "summarization", {}),
    Family("text2text_generation", text.build_t5, "text2text-generation", {}),
)
FAMILIES = (*VOICES, *EARS, *EYES, *READERS)

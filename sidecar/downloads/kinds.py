"""What a model's config says it is: architecture or pipeline → task and handler.  A pure table."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from sidecar.downloads.messages import DownloadFailed
from sidecar.schemas.model_spec import HANDLER_OF, Handler, Task

NOT_ON_HUBS = {"tensor", "voice_activity", "own"}
TASKS = [task for task in HANDLER_OF if task not in NOT_ON_HUBS]
PIPELINES: Mapping[str, Task] = {  # the hub's words
    "feature-extraction": "embedding",
    "sentence-similarity": "embedding",
    "sentiment-analysis": "text_classification",
    "ner": "token_classification",
    "translation": "text2text_generation",
    "text-to-speech": "speech_synthesis",
    "text-to-audio": "speech_synthesis",
    "automatic-speech-recognition": "speech_recognition",
}
ARCHITECTURES: Mapping[str, tuple[Task, ...]] = {  # the first rule that fits; default first
    r"(Whisper|Moonshine)ForConditionalGeneration|Wav2Vec2ForCTC": ("speech_recognition",),
    r"SpeechT5ForTextToSpeech|VitsModel|BarkModel": ("speech_synthesis",),
    r"\w+ForSequenceClassification": (
        "text_classification",
        "zero_shot_classification",
        "text_ranking",
    ),
    r"\w+ForTokenClassification": ("token_classification",),
    r"\w+ForMaskedLM": ("fill_mask", "embedding"),
    r"\w+ForCausalLM|GPT2LMHeadModel": ("text_generation",),
    r"\w+ForImageClassification(WithTeacher)?": ("image_classification",),
    r"(M?Bart|M?T5|Pegasus|LED|Blenderbot(Small)?)ForConditionalGeneration|MarianMTModel": (
        "text2text_generation",
        "summarization",
    ),
    r"(Bert|(XLM)?Roberta|DistilBert|MPNet|Electra|Albert|DebertaV2|ModernBert|Camembert)Model": (
        "embedding",
    ),
}
VOCODERS: Mapping[str, str] = {"SpeechT5ForTextToSpeech": "microsoft/speecht5_hifigan"}


class Kind(msgspec.Struct, frozen=True):
    """What a model does, and which handler runs it."""

    architecture: str
    task: Task
    handler: Handler


def task_of(word: str) -> Task:
    """Return the task that *word*, our own or the hub's, stands for.  Raises DownloadFailed."""
    name = PIPELINES.get(word.lower(), word.lower().replace("-", "_"))
    for task in TASKS:
        if task == name:
            return task
    raise DownloadFailed(f"task: expected one of: {', '.join(TASKS)}; got {word}")


def kind_of(config: Mapping[str, Any], asked: str | None, pipeline: str | None) -> Kind:
    """Return what the model of this config.json is.

    *asked* is the task that the client wants, *pipeline* the hub's word for what it is for; the
    first must be one the architecture can do, the second may be.  Raises DownloadFailed.
    """
    if config.get("auto_map") and not config.get("architectures"):
        raise DownloadFailed("the model brings its own code, which is never run here")
    architecture = _architecture(config)
    able = next(
        (tasks for rule, tasks in ARCHITECTURES.items() if re.fullmatch(rule, architecture)), None
    )
    if able is None:
        raise DownloadFailed(f"models of the architecture {architecture} cannot be run here")
    task = able[0]
    if asked is not None:
        task = task_of(asked)
        if task not in able:
            raise DownloadFailed(
                f"{architecture} does {' or '.join(able)}, not {task.replace('_', ' ')}"
            )
    elif pipeline is not None:
        usual = PIPELINES.get(pipeline, pipeline.replace("-", "_"))
        task = next((each for each in able if each == usual), task)
    if asked is None and task == "text_classification" and _is_cross_encoder(config):
        task = "text_ranking"
    return Kind(architecture, task, HANDLER_OF[task])


def _is_cross_encoder(config: Mapping[str, Any]) -> bool:
    """Return whether sentence-transformers wrote the config of a ranking network.

    The hub has many of them as text-classification; they have one label, whose score counts.
    """
    marked = "sbert_ce_default_activation_function" in config or "sentence_transformers" in config
    labels = config.get("id2label")
    return marked and isinstance(labels, dict) and len(labels) == 1


def _architecture(config: Mapping[str, Any]) -> str:
    names = config.get("architectures")
    if not isinstance(names, list) or not names or not isinstance(names[0], str):
        raise DownloadFailed(
            "its config.json names no architecture, so it is unclear what the model is"
        )
    return names[0]

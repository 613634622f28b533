"""SpeechSynthesisHandler with Bark: voices are prompts."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, BarkModel

from handler_kit.errors import LoadError
from handler_kit.wav import Samples
from synthesis_kit.networks.bark_network import FIRST_WORDS
from tests.checkpoints import bark
from tests.handlers.families import check_batch_is_each_alone, check_is, load_family
from tests.handlers.loaded import Loaded
from tests.handlers.speaking import refusal, say

TEXT = "Hello, you."
VOICES: dict[str, Any] = {
    "v2/en_speaker_0": {},
    "v2/de_speaker_3": {},
    "anybody": {"speaker": "random"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bark")
    bark.build(folder)
    return folder


@pytest.fixture(scope="module")
def voice(folder: Path) -> Loaded:
    return load_family(folder, voices=VOICES)


def somebody(model: Any, folder: Path, seed: int) -> dict[str, torch.Tensor]:
    """What transformers makes of the first words, as a voice to go on with."""
    made: dict[str, torch.Tensor] = {}

    def kept(name: str, generate: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            made[name] = generate(*args, **kwargs)
            return made[name]

        return call

    semantic, fine = model.semantic.generate, model.fine_acoustics.generate
    model.semantic.generate = kept("semantic", semantic)
    model.fine_acoustics.generate = kept("fine", fine)
    tokens = AutoTokenizer.from_pretrained(folder)(
        FIRST_WORDS,
        padding="max_length",
        max_length=bark.LONGEST,
        truncation=True,
        add_special_tokens=False,
        return_tensors="pt",
    )
    torch.manual_seed(seed)
    model.generate(tokens["input_ids"], attention_mask=tokens["attention_mask"])
    model.semantic.generate, model.fine_acoustics.generate = semantic, fine
    return {
        "semantic_prompt": made["semantic"][0],
        "coarse_prompt": made["fine"][0, :2],
        "fine_prompt": made["fine"][0],
    }


@torch.inference_mode()
def by_transformers(folder: Path, text: str, voice: str | None, seed: int) -> Samples:
    model: Any = BarkModel.from_pretrained(folder)
    tokens = AutoTokenizer.from_pretrained(folder)(
        text,
        padding="max_length",
        max_length=bark.LONGEST,
        add_special_tokens=False,
        return_tensors="pt",
    )
    if voice is None:
        history = somebody(model, folder, seed)
    else:
        prompts = load_file(folder / "voices.safetensors")
        history = {
            name.rpartition(".")[2]: prompt
            for name, prompt in prompts.items()
            if name.startswith(f"{voice}.")
        }
    torch.manual_seed(seed)
    samples = model.generate(
        tokens["input_ids"], attention_mask=tokens["attention_mask"], history_prompt=history
    )
    return samples.numpy()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("name", "preset"),
    [
        ("v2/en_speaker_0", "v2/en_speaker_0"),
        ("v2/de_speaker_3", "v2/de_speaker_3"),
    ],
)
def test_samples_equal_transformers(voice: Loaded, folder: Path, name: str, preset: str) -> None:
    ours = say(voice, TEXT, voice=name, seed=6)
    check_is(ours, by_transformers(folder, TEXT, preset, 6))


def test_a_random_voice_stays_the_same_across_sentences(voice: Loaded, folder: Path) -> None:
    """Each of them goes on from the voice that the seed draws, and another seed draws another."""
    for text, seed in (("Hello.", 6), ("And then this.", 6), ("Hello.", 7)):
        ours = say(voice, text, voice="anybody", seed=seed)
        check_is(ours, by_transformers(folder, text, None, seed))


def test_a_batch_equals_each_utterance_alone(voice: Loaded) -> None:
    check_batch_is_each_alone(
        voice,
        {"text": TEXT, "parameters": {"seed": 1}},
        {"text": "Why?", "parameters": {"voice": "v2/de_speaker_3"}},
        {"text": "No. Yes.", "parameters": {"voice": "anybody", "seed": 7}},
    )


def test_a_long_sentence_is_said_in_parts(voice: Loaded) -> None:
    script = voice.handler.decode("one two three four five six seven eight nine", {})
    pieces = [each.symbols for each in script.utterances]
    assert " ".join(pieces) == "one two three four five six seven eight nine"
    assert max(map(len, pieces)) <= bark.LONGEST


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("speed", 2), ("pitch", 2), ("emotion", "calm"), ("speaker_embedding", [1.0])],
)
def test_unsupported_parameters_are_refused(voice: Loaded, parameter: str, value: Any) -> None:
    assert refusal(voice, TEXT, **{parameter: value}).startswith(f"{parameter}: this ")


def test_a_missing_voice_is_a_load_error(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="no speaker v2/fr_speaker_1"):
        load_family(folder, voices={"v2/fr_speaker_1": {}})
    for file in folder.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    half = load_file(folder / "voices.safetensors")
    del half["v2/en_speaker_0.fine_prompt"]
    save_file(half, tmp_path / "voices.safetensors")
    with pytest.raises(LoadError, match="en_speaker_0 lacks one of its three prompts"):
        load_family(tmp_path, voices=VOICES)

"""Text to speech: raw text in, samples out."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import cycle, islice
from typing import Any, ClassVar

import msgspec
import torch

from handler_kit.batch_handler import BatchHandler, ForwardPass
from handler_kit.config import HandlerConfig, Precision, parse_options
from handler_kit.errors import InvalidInput
from handler_kit.job import Answer, Item
from handler_kit.precision import Compared
from handler_kit.wav import to_pcm
from synthesis_kit.networks.loading import load_network, load_text_stage
from synthesis_kit.options import SynthesisOptions
from synthesis_kit.outcomes import SpokenScript, UnspokenScript, answer_parameters
from synthesis_kit.parameters import SynthesisParameters, parse_parameters
from synthesis_kit.speaker import Speaker
from synthesis_kit.text.script import Script, ScriptPart, ScriptWriter, text_of

SAMPLES = (
    "Good morning.",
    "The weather is fine today, and the streets are dry.",
    "She bought three apples, two pears and a loaf of bread at the market near the station.",
    "Why not?",
)


Batch = list[Script] | list[UnspokenScript]
Outcomes = list[SpokenScript | UnspokenScript]


class SpeechSynthesisHandler(BatchHandler[Script, Batch, Outcomes]):
    """Answers s16le samples, mono; the answer's parameter `sample_rate` is in Hz.

    A job is short, whatever its texts expand to.  Of the callers who ask in parts, one whose text
    does not fit into it is answered with a script (JSON, parameter `unspoken`), and asks for its
    parts as items of the type "script"; so does one who asks for the beginning, with the parts in
    the answer's parameter `rest`.  Under plain TorchServe the answer is a WAV file, and a
    body that is not JSON is the text.
    """

    item_types: ClassVar[frozenset[str]] = frozenset({"json", "text", "plain", "script"})
    plain_type: ClassVar[str] = "plain"
    precisions: frozenset[Precision] = frozenset({"fp32", "int8"})
    compared_as: ClassVar[Compared] = "vectors"
    options: SynthesisOptions

    def read_options(self, config: HandlerConfig) -> SynthesisOptions:
        """Return the network and its voices."""
        return parse_options(config, SynthesisOptions)

    def load_model(self) -> torch.nn.Module:
        """Load the archive's network, and what turns text into its symbols."""
        self._network = load_network(self.options.network, self.folder, self.device)
        self._stage = load_text_stage(self.options.text_stage, self.folder, self.device)
        self._writer = ScriptWriter(self.options, self._network)
        self._speaker = Speaker(self._network, self.options)
        self.precisions = type(self).precisions | self._network.precisions
        return self._network.model

    def value_of(self, item: Item) -> object:
        """Return text, a script's part, or parsed JSON.

        A plain body is text unless it is a JSON string or object.  Raises InvalidInput.
        """
        if item.type == "script":
            return _written(item.body)
        is_json = item.type == "json" or item.body[:1] in (b'"', b"{")
        if item.type == "text" or not is_json:
            return text_of(item.body)
        return super().value_of(item)

    def decode(self, value: object, parameters: dict[str, Any]) -> Script:
        """Return the script of a text, of a list of sentences, or of a part of a script."""
        if isinstance(value, ScriptPart):
            return self._writer.rewrite(value, self._asked(parameters))
        if isinstance(value, list) and all(isinstance(each, str) for each in value):
            return self._writer.write_sentences(value, self._asked(parameters))
        if isinstance(value, dict):
            text, given = value.get("text"), value.get("parameters", {})
            if set(value) - {"text", "parameters"} or not isinstance(given, dict):
                raise InvalidInput("The input must be text, or an object {text, parameters}")
            value, parameters = text, {**parameters, **given}
        if not isinstance(value, str):
            raise InvalidInput("The input must be text, or an object {text, parameters}")
        asked = self._asked(parameters)
        if self._stage is not None:
            if asked.input_type == "ssml":
                raise InvalidInput(
                    "ssml is not supported by a model that rewrites texts", field="input_type"
                )
            self._writer.check(value, asked)
            value = self._stage.rewritten(value)
        return self._writer.write(value, asked)

    def plan(self, inputs: Sequence[Script]) -> list[ForwardPass[Batch]]:
        """Return one pass for all scripts that fit into the job, and one for the others' parts."""
        off = self._writer.postponed(inputs)
        spoken = [place for place in range(len(inputs)) if not off[place]]
        others = [place for place in range(len(inputs)) if off[place]]
        passes: list[ForwardPass[Batch]] = []
        if spoken:
            passes.append(ForwardPass(spoken, [inputs[place] for place in spoken]))
        if others:
            parts = [
                UnspokenScript(self._writer.parts(inputs[place]), inputs[place].left_out)
                for place in others
            ]
            passes.append(ForwardPass(others, parts))
        return passes

    def forward(self, batch: Batch) -> Outcomes:
        """Return samples, float32, one row per script; parts are passed on as they are."""
        scripts = [each for each in batch if isinstance(each, Script)]
        spoken = self._speaker.speak(scripts) if scripts else []
        return [
            *(
                each if script.rest is None else each._replace(rest=self._writer.parts(script.rest))
                for each, script in zip(spoken, scripts, strict=True)
            ),
            *(each for each in batch if isinstance(each, UnspokenScript)),
        ]

    def encode(self, outputs: Outcomes) -> list[Answer]:
        """Return signed 16-bit samples, or a script's parts as JSON, with what was left out."""
        rate = {"sample_rate": self._network.sample_rate}
        return [
            Answer(
                body=msgspec.json.encode(each.parts),
                parameters={"unspoken": True} | answer_parameters(each),
            )
            if isinstance(each, UnspokenScript)
            else Answer(
                body=to_pcm(each.samples.numpy()),
                type="pcm",
                parameters=rate | answer_parameters(each),
            )
            for each in outputs
        ]

    def compared(self, outputs: Outcomes) -> list[torch.Tensor]:
        """Return the samples of each script."""
        return [each.samples for each in outputs if isinstance(each, SpokenScript)]

    def samples(self, count: int) -> list[Script]:
        """Return sentences of mixed lengths.

        There are none for a voice that does not read Latin letters, or that would take minutes.
        """
        if self._network.by_steps:
            return []
        return list(islice(cycle(list(self._scripts(SAMPLES))), count))

    def details(self) -> dict[str, Any]:
        """Return what the voices support."""
        return {
            "voices": list(self.options.voices),
            "languages": list(self.options.languages),
            "sample_rate": self._network.sample_rate,
            "controls": sorted(self._network.controls | {"volume"} | self._cloning),
        }

    def _asked(self, parameters: dict[str, Any]) -> SynthesisParameters:
        return parse_parameters(parameters, self._network.controls)

    def _scripts(self, texts: Sequence[str]) -> Iterator[Script]:
        """Yield the scripts of those *texts* that the voice can say."""
        for text in texts:
            with suppress(InvalidInput):
                yield self.decode(text, {})

    @property
    def _cloning(self) -> set[str]:
        cloning = self._network.cloning
        if cloning is None:
            return set()
        return {"speaker_embedding", "reference_audio"} if cloning.hears else {"speaker_embedding"}


def _written(body: bytes) -> ScriptPart:
    try:
        return msgspec.json.decode(body, type=ScriptPart)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
        raise InvalidInput("The input must be a script part as this handler returned it") from exc

"""Speech to text, with any Whisper."""

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
import numpy as np
import torch

from handler_kit.batch_handler import BatchHandler, ForwardPass
from handler_kit.config import HandlerConfig, parse_options
from handler_kit.errors import InvalidInput, ItemError
from handler_kit.job import Answer, Item
from handler_kit.wav import Samples, from_pcm, read_wav
from recognition_kit.checkpoint import load_checkpoint
from recognition_kit.clip import Clip, Decoding
from recognition_kit.options import RecognitionOptions
from recognition_kit.parameters import TranscriptionParameters, parse_parameters
from recognition_kit.transcriber import Outcome, Transcriber

PROBE_SECONDS = 2.0
PROBE_TOKENS = 4


class SpeechRecognitionHandler(BatchHandler[Clip, list[Clip], Outcome]):
    """Answers a `Transcript` as JSON for each clip of mono audio: 16-bit PCM, or a WAV file.

    Clips that are decoded in the same way share the encoder's pass and the decoding loop; so do
    the pieces of one long clip.
    """

    item_types: ClassVar[frozenset[str]] = frozenset({"json", "pcm"})  # "json" is a plain body
    options: RecognitionOptions

    def read_options(self, config: HandlerConfig) -> RecognitionOptions:
        """Limits."""
        return parse_options(config, RecognitionOptions)

    def load_model(self) -> torch.nn.Module:
        """The archive's Whisper."""
        self._checkpoint = load_checkpoint(self.folder, self.device)
        return self._checkpoint.network

    def value_of(self, item: Item) -> Samples:
        """Samples from PCM at 16 kHz in a job, or from a WAV file as the request's body."""
        rate = self._checkpoint.mel.sample_rate
        if item.type == "pcm":
            return from_pcm(item.body)
        if item.value is not msgspec.UNSET or not item.body.startswith(b"RIFF"):
            raise InvalidInput(
                f"This model takes audio: a WAV file, or 16-bit PCM at {rate} Hz "
                "(type pcm) in a job"
            )
        return read_wav(item.body, rate)

    def decode(self, value: object, parameters: dict[str, Any]) -> Clip:
        """A clip of any length up to max_seconds; an empty one is silence."""
        assert isinstance(value, np.ndarray)
        asked = parse_parameters(parameters, self._checkpoint.vocabulary)
        if asked.word_timestamps and not self._checkpoint.alignment_heads:
            raise InvalidInput("word_timestamps: this checkpoint names no alignment heads")
        seconds = len(value) / self._checkpoint.mel.sample_rate
        if seconds > self.options.max_seconds:
            raise InvalidInput(
                f"The audio lasts {seconds:.1f} s, the limit is {self.options.max_seconds:g} s"
            )
        return Clip(samples=value, parameters=asked, decoding=self._decoding(asked))

    def plan(self, inputs: Sequence[Clip]) -> list[ForwardPass[list[Clip]]]:
        """One pass for all clips whose decoding is the same."""
        groups: dict[tuple[bool, Decoding], list[int]] = {}
        for place, clip in enumerate(inputs):
            groups.setdefault((clip.probe, clip.decoding), []).append(place)
        return [
            ForwardPass(places, [inputs[place] for place in places]) for places in groups.values()
        ]

    def forward(self, batch: list[Clip]) -> Outcome:
        """The transcripts, in order."""
        return Transcriber(self._checkpoint, self.model, self.options.max_pass_clips).run(batch)

    def encode(self, outputs: Outcome) -> Sequence[Answer | ItemError]:
        """Each transcript as JSON."""
        return [Answer(body=msgspec.json.encode(one)) for one in outputs.transcripts]

    def flat(self, outputs: Outcome) -> torch.Tensor:
        """The probes' first logits."""
        return outputs.logits.flatten()

    def samples(self, count: int) -> list[Clip]:
        """Short tones in noise, heard without the silence up to 30 s, so that checks are quick."""
        mel = self._checkpoint.mel
        asked = TranscriptionParameters(logprob_threshold=None)
        decoding = msgspec.structs.replace(
            self._decoding(asked),
            max_tokens=PROBE_TOKENS,
            temperature=1.0,  # the last there is: nothing is tried again
            context_samples=round(PROBE_SECONDS * mel.sample_rate),
        )
        time = np.arange(decoding.context_samples) / mel.sample_rate
        noise = np.random.default_rng(0)
        return [
            Clip(
                samples=(
                    0.3 * np.sin(2 * np.pi * (220 + 40 * number) * time)
                    + 0.05 * noise.standard_normal(len(time))
                ).astype(np.float32),
                parameters=asked,
                decoding=decoding,
                probe=True,
            )
            for number in range(count)
        ]

    def details(self) -> dict[str, Any]:
        """What the checkpoint knows, and what an input may be."""
        vocabulary = self._checkpoint.vocabulary
        return {
            "languages": sorted(vocabulary.languages) or ["en"],
            "multilingual": vocabulary.multilingual,
            "tasks": ["transcribe", "translate"] if vocabulary.multilingual else ["transcribe"],
            "word_timestamps": bool(self._checkpoint.alignment_heads),
            "sample_rate": self._checkpoint.mel.sample_rate,
            "max_seconds": self.options.max_seconds,
            "piece_seconds": self._checkpoint.mel.max_seconds,
        }

    def _decoding(self, asked: TranscriptionParameters) -> Decoding:
        checkpoint = self._checkpoint
        room = checkpoint.max_positions // 2  # for the prompt, and for the transcript
        prompt: list[int] = []
        if asked.initial_prompt and asked.initial_prompt.strip():
            text = " " + asked.initial_prompt.strip()
            prompt = checkpoint.tokenizer.encode(text, add_special_tokens=False).ids
        return Decoding(
            prompt=tuple(prompt[-(room - 1) :]),
            timestamps=asked.enable_timestamps,
            suppress_blank=asked.suppress_blank,
            beam_size=asked.beam_size if asked.temperature == 0 else 1,
            temperature=asked.temperature,
            max_tokens=room,
            context_samples=checkpoint.mel.max_samples,
        )

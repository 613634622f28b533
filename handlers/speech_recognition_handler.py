"""Speech to text, with Whisper, Wav2Vec2 or Moonshine."""

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
import numpy as np
import torch

from handler_kit.batch_handler import BatchHandler, ForwardPass
from handler_kit.config import HandlerConfig, parse_options
from handler_kit.errors import InvalidInput, ItemError
from handler_kit.job import Answer, Item
from handler_kit.precision import Compared
from handler_kit.wav import Samples, from_pcm, read_wav
from recognition_kit.audio_clip import PROBE_SECONDS, AudioClip, DecodingSettings
from recognition_kit.options import RecognitionOptions
from recognition_kit.recogniser import RecognitionOutput, load_recogniser


class SpeechRecognitionHandler(BatchHandler[AudioClip, list[AudioClip], RecognitionOutput]):
    """Answers each clip of mono audio, 16-bit PCM or a WAV file, with a `Transcript` as JSON.

    Clips with equal decoding settings share the encoder's pass and the decoding loop, and so do the
    pieces of a long clip.
    """

    item_types: ClassVar[frozenset[str]] = frozenset({"json", "pcm"})  # "json" is a plain body
    compared_as: ClassVar[Compared] = "logits"
    options: RecognitionOptions

    def read_options(self, config: HandlerConfig) -> RecognitionOptions:
        """Return the limits."""
        return parse_options(config, RecognitionOptions)

    def load_model(self) -> torch.nn.Module:
        """Load the archive's recogniser."""
        self._recogniser = load_recogniser(self.folder, self.device, self.options)
        return self._recogniser.network

    def value_of(self, item: Item) -> Samples:
        """Return the samples: of 16-bit PCM in a job, or of a WAV file as the request's body."""
        rate = self._recogniser.sample_rate
        if item.type == "pcm":
            return from_pcm(item.body)
        if item.value is not msgspec.UNSET or not item.body.startswith(b"RIFF"):
            raise InvalidInput(
                f"The input must be audio: a WAV file, or 16-bit PCM at {rate} Hz "
                "(type pcm) in a job"
            )
        return read_wav(item.body, rate)

    def decode(self, value: object, parameters: dict[str, Any]) -> AudioClip:
        """Return a clip of up to max_seconds.  An empty one is silence."""
        assert isinstance(value, np.ndarray)
        asked = self._recogniser.parse(parameters)
        seconds = len(value) / self._recogniser.sample_rate
        if seconds > self.options.max_seconds:
            raise InvalidInput(
                f"The audio lasts {seconds:.1f} s; "
                f"at most {self.options.max_seconds:g} s are allowed"
            )
        return AudioClip(samples=value, parameters=asked, decoding=self._recogniser.decoding(asked))

    def plan(self, inputs: Sequence[AudioClip]) -> list[ForwardPass[list[AudioClip]]]:
        """Return one pass for all clips whose decoding settings are equal."""
        groups: dict[tuple[bool, DecodingSettings], list[int]] = {}
        for place, clip in enumerate(inputs):
            groups.setdefault((clip.probe, clip.decoding), []).append(place)
        return [
            ForwardPass(places, [inputs[place] for place in places]) for places in groups.values()
        ]

    def forward(self, batch: list[AudioClip]) -> RecognitionOutput:
        """Return the transcripts, in order."""
        return self._recogniser.transcribe(self.model, batch, self.options.max_pass_clips)

    def encode(self, outputs: RecognitionOutput) -> Sequence[Answer | ItemError]:
        """Return each transcript as JSON."""
        return [Answer(body=msgspec.json.encode(one)) for one in outputs.transcripts]

    def compared(self, outputs: RecognitionOutput) -> list[torch.Tensor]:
        """Return the logits of the probes."""
        return outputs.logits

    def samples(self, count: int) -> list[AudioClip]:
        """Return short tones in noise."""
        asked, decoding = self._recogniser.probe()
        rate = self._recogniser.sample_rate
        time = np.arange(round(PROBE_SECONDS * rate)) / rate
        noise = np.random.default_rng(0)
        return [
            AudioClip(
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

    def shapes(self) -> list[list[AudioClip]]:
        """Return a whole window, to which a client's audio is padded with silence."""
        (clip,) = self.samples(1)
        whole = self._recogniser.decoding(clip.parameters).context_samples
        if whole == clip.decoding.context_samples:
            return []
        decoding = msgspec.structs.replace(clip.decoding, context_samples=whole)
        return [[msgspec.structs.replace(clip, decoding=decoding)]]

    def details(self) -> dict[str, Any]:
        """Return what the checkpoint supports, and the limits of an input."""
        return {
            **self._recogniser.details(),
            "sample_rate": self._recogniser.sample_rate,
            "max_seconds": self.options.max_seconds,
            "piece_seconds": self._recogniser.piece_seconds,
        }

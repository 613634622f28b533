"""A Whisper as a recogniser."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch

from handler_kit.errors import InvalidInput
from recognition_kit.audio_clip import PROBE_SECONDS, AudioClip, DecodingSettings
from recognition_kit.options import RecognitionOptions
from recognition_kit.parameters import TranscriptionParameters, parse_parameters
from recognition_kit.recogniser import Recogniser, RecognitionOutput
from recognition_kit.whisper.checkpoint import load_checkpoint
from recognition_kit.whisper.prompts import usable_prompt
from recognition_kit.whisper.transcriber import Transcriber

PROBE_TOKENS = 4


class WhisperRecogniser(Recogniser):
    """`Recogniser` with a Whisper.  The checkpoint names its languages."""

    def __init__(self, folder: Path, device: torch.device, options: RecognitionOptions) -> None:
        self._checkpoint = load_checkpoint(folder, device)
        self._fits_windows = options.windows == "fitted" and device.type == "cpu"
        self.network = self._checkpoint.network
        self.sample_rate = self._checkpoint.mel.sample_rate
        self.piece_seconds = self._checkpoint.mel.max_seconds

    def parse(self, raw: dict[str, Any]) -> TranscriptionParameters:
        """Return the parameters.  Raises InvalidInput if the checkpoint does not support one."""
        asked = parse_parameters(raw, self._checkpoint.vocabulary)
        if asked.word_timestamps and not self._checkpoint.alignment_heads:
            raise InvalidInput(
                "word_timestamps: this checkpoint does not determine the times of words: "
                "it has no alignment_heads"
            )
        return asked

    def decoding(self, asked: TranscriptionParameters) -> DecodingSettings:
        """Return the settings that affect the decoder's steps."""
        checkpoint = self._checkpoint
        room = checkpoint.max_positions // 2  # for the prompt, and for the transcript
        prompt: list[int] = []
        if text := usable_prompt(asked.initial_prompt or ""):
            text = " " + text
            prompt = checkpoint.tokenizer.encode(text, add_special_tokens=False).ids
        return DecodingSettings(
            prompt=tuple(prompt[-(room - 1) :]),
            timestamps=asked.enable_timestamps,
            suppress_blank=asked.suppress_blank,
            beam_size=asked.beam_size if asked.temperature == 0 else 1,
            temperature=asked.temperature,
            max_tokens=room,
            context_samples=checkpoint.mel.max_samples,
        )

    def probe(self) -> tuple[TranscriptionParameters, DecodingSettings]:
        """Return settings for a few tokens, without padding to 30 s and without retries."""
        asked = TranscriptionParameters(logprob_threshold=None)
        return asked, msgspec.structs.replace(
            self.decoding(asked),
            max_tokens=PROBE_TOKENS,
            temperature=1.0,  # the highest, after which nothing is retried
            context_samples=round(PROBE_SECONDS * self.sample_rate),
        )

    def transcribe(
        self, network: torch.nn.Module, clips: Sequence[AudioClip], max_pieces: int
    ) -> RecognitionOutput:
        """Run one encoder pass and one decoding loop for the pieces of all *clips*."""
        whisper: Any = network
        transcriber = Transcriber(
            self._checkpoint, whisper, max_pieces, fits_windows=self._fits_windows
        )
        return transcriber.run(clips)

    def details(self) -> dict[str, Any]:
        """Return the languages, the tasks, and whether the times of words are supported."""
        vocabulary = self._checkpoint.vocabulary
        return {
            "languages": sorted(vocabulary.languages) or ["en"],
            "multilingual": vocabulary.multilingual,
            "tasks": ["transcribe", "translate"] if vocabulary.multilingual else ["transcribe"],
            "word_timestamps": bool(self._checkpoint.alignment_heads),
        }

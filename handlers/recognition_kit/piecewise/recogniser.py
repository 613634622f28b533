"""A recogniser that processes one piece after another, and whose decoding cannot be controlled."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import torch

from handler_kit.wav import Samples
from recognition_kit.audio_clip import AudioClip, DecodingSettings
from recognition_kit.audio_pieces import AudioPiece, cut
from recognition_kit.options import RecognitionOptions
from recognition_kit.parameters import TranscriptionParameters, parse_plain
from recognition_kit.recogniser import Recogniser, RecognitionOutput
from recognition_kit.transcript import Segment, Transcript, Word, mean_confidence

PIECE_SECONDS = 30.0
SHORTEST_SECONDS = 0.1  # shorter pieces contain no speech, and some networks fail on them
DIGITS = 4


class PhraseWord(NamedTuple):
    """A word.  Times are in seconds from the start of its piece."""

    text: str
    start: float
    end: float
    confidence: float


class Phrase(NamedTuple):
    """Words spoken without a long pause.  Times are in seconds from the start of their piece."""

    text: str
    start: float
    end: float
    confidence: float
    words: list[PhraseWord]


class PieceOutputs(NamedTuple):
    """The phrases of each piece, and the network's logits for it."""

    phrases: list[list[Phrase]]
    logits: list[torch.Tensor]


class PiecewiseRecogniser(Recogniser):
    """Cuts clips into pieces, runs the network on them and joins the phrases.

    The options name the languages, since the checkpoint does not.  *word_times* of a subclass says
    whether it determines the times of words.
    """

    piece_seconds = PIECE_SECONDS
    word_times: bool
    _options: RecognitionOptions

    @abstractmethod
    def hear(self, network: torch.nn.Module, pieces: Sequence[Samples]) -> PieceOutputs:
        """Return the phrases of *pieces*, none of which affects the others."""

    def parse(self, raw: dict[str, Any]) -> TranscriptionParameters:
        """Return *raw* as parameters.  Most of them are refused."""
        return parse_plain(raw, self._options.languages, word_times=self.word_times)

    def decoding(self, asked: TranscriptionParameters) -> DecodingSettings:  # noqa: ARG002 - all alike
        """Return the settings, which are the same for all clips."""
        return DecodingSettings(
            prompt=(),
            timestamps=True,
            suppress_blank=True,
            beam_size=1,
            temperature=0.0,
            max_tokens=0,
            context_samples=round(self.piece_seconds * self.sample_rate),
        )

    def probe(self) -> tuple[TranscriptionParameters, DecodingSettings]:
        """Return the defaults."""
        asked = TranscriptionParameters()
        return asked, self.decoding(asked)

    def transcribe(
        self, network: torch.nn.Module, clips: Sequence[AudioClip], max_pieces: int
    ) -> RecognitionOutput:
        """Return the transcripts of *clips*."""
        windows = [
            (number, piece)
            for number, clip in enumerate(clips)
            for piece in cut(clip.samples, clip.decoding.context_samples, self.sample_rate)
            if piece.end - piece.start >= SHORTEST_SECONDS * self.sample_rate
        ]
        segments: list[list[Segment]] = [[] for _ in clips]
        logits: list[torch.Tensor] = []
        for first in range(0, len(windows), max_pieces):
            now = windows[first : first + max_pieces]
            heard = self.hear(
                network, [clips[clip].samples[piece.start : piece.end] for clip, piece in now]
            )
            logits += heard.logits
            for (clip, piece), phrases in zip(now, heard.phrases, strict=True):
                segments[clip] += [self._segment(clips[clip], piece, each) for each in phrases]
        language = self._options.languages[0] if len(self._options.languages) == 1 else None
        return RecognitionOutput(
            [
                Transcript(
                    " ".join(each.text for each in own),
                    own,
                    clip.parameters.wanted_language or language,
                    None,
                    mean_confidence(own),
                )
                for clip, own in zip(clips, segments, strict=True)
            ],
            logits,
        )

    def details(self) -> dict[str, Any]:
        """Return the languages from the options, and what the family supports."""
        return {
            "languages": list(self._options.languages),
            "multilingual": len(self._options.languages) > 1,
            "tasks": ["transcribe"],
            "word_timestamps": self.word_times,
        }

    def _segment(self, clip: AudioClip, piece: AudioPiece, phrase: Phrase) -> Segment:
        begin = clip.parameters.offset + piece.start / self.sample_rate
        words = [
            Word(
                each.text,
                round(begin + each.start, 2),
                round(begin + each.end, 2),
                round(each.confidence, DIGITS),
            )
            for each in phrase.words
        ]
        return Segment(
            round(begin + phrase.start, 2),
            round(begin + phrase.end, 2),
            phrase.text,
            round(phrase.confidence, DIGITS),
            None,
            words if clip.parameters.word_timestamps else msgspec.UNSET,
        )

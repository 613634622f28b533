"""Turns clips into transcripts: cuts them into pieces, decodes many at once, joins the texts."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import torch

from handler_kit.threads import one_thread
from handler_kit.wav import Samples
from recognition_kit.audio_clip import AudioClip
from recognition_kit.audio_pieces import AudioPiece, cut, halve
from recognition_kit.recogniser import RecognitionOutput
from recognition_kit.transcript import Segment, Transcript, Word, mean_confidence
from recognition_kit.whisper.alignment import token_times
from recognition_kit.whisper.checkpoint import WhisperCheckpoint
from recognition_kit.whisper.hypothesis import Hypothesis
from recognition_kit.whisper.network import WhisperNetwork, joined
from recognition_kit.whisper.piece_decoder import (
    DecodedPiece,
    EncodedPieces,
    PieceDecoder,
    is_silence,
)
from recognition_kit.whisper.text_spans import TextSpan, find_rest, find_spans
from recognition_kit.whisper.vocabulary import ENGLISH
from recognition_kit.whisper.word_times import PieceWord, time_words

CENTISECONDS = 100
PROBABILITY_DIGITS = 4
DIVISIBLE_SECONDS = 4.0  # a shorter piece is not cut in two
CONTEXT_STEP_SECONDS = 5.0  # lengths of fitted windows are rounded to it, so that they are few
SILENCE_SECONDS = 2.0  # the least silence at the end of a fitted window
# A piece is transcribed again in a whole window if a fitted one gave
MISSED_SECONDS = 2.0  # no text in more than so many seconds at its end,
SLOWEST_TOKENS = 1.5  # or fewer tokens of text per second
SMALL_WIDTH = 512  # of Whisper tiny and base, whose decoder steps are too short for several threads


class _Window(NamedTuple):
    """A piece of a clip to transcribe, padded with silence to *context* samples."""

    clip: int
    piece: AudioPiece
    context: int


class _Part(NamedTuple):
    """The text between two times.  *text* keeps the spaces around it."""

    segment: Segment
    text: str


class _Draft:
    """The unfinished transcript of a clip."""

    def __init__(self, clip: AudioClip, *, multilingual: bool) -> None:
        self.clip = clip
        self.language = clip.parameters.wanted_language or (None if multilingual else ENGLISH)
        self.language_probability: float | None = None
        self.parts: list[tuple[int, list[_Part]]] = []  # with the sample at which each group begins

    def finish(self) -> Transcript:
        parts = [part for _, group in sorted(self.parts, key=lambda one: one[0]) for part in group]
        segments = [part.segment for part in parts]
        return Transcript(
            "".join(part.text for part in parts).strip(),
            segments,
            self.language,
            self.language_probability,
            mean_confidence(segments),
        )


class Transcriber:
    """Transcribes the clips of one forward pass, whose decoding settings are equal.

    With *fits_windows*, a short piece is not padded to 30 s, since the encoder would spend most of
    its time on silence.  The network was not trained for that.  If the transcript is not good, ends
    long before the piece or is short for it, the piece is transcribed again in a whole window.
    """

    def __init__(
        self,
        checkpoint: WhisperCheckpoint,
        network: WhisperNetwork,
        max_pieces: int,
        *,
        fits_windows: bool = False,
    ) -> None:
        self._checkpoint = checkpoint
        self._network = network
        self._max_pieces = max_pieces
        self._fits_windows = fits_windows
        self._vocabulary = checkpoint.vocabulary
        self._rate = checkpoint.mel.sample_rate

    def run(self, clips: Sequence[AudioClip]) -> RecognitionOutput:
        """Return the transcripts of *clips*, in order."""
        multilingual = self._vocabulary.multilingual
        drafts = [_Draft(clip, multilingual=multilingual) for clip in clips]
        decoder = PieceDecoder(self._checkpoint, self._network, clips[0].decoding)
        whole = clips[0].decoding.context_samples
        windows = [
            self._window(number, piece, whole)
            for number, clip in enumerate(clips)
            for piece in cut(clip.samples, whole, self._rate)
        ]
        logits: list[torch.Tensor] = []
        while windows:
            now, windows = windows[: self._max_pieces], windows[self._max_pieces :]
            encoded, lengths = self._encode(decoder, clips, now)
            with one_thread(only_if=self._network.width <= SMALL_WIDTH):
                prefixes = self._prefixes(decoder, encoded, now, drafts)
                if clips[0].probe:
                    logits += decoder.first_logits(encoded, prefixes)
                asked = [clips[window.clip].parameters for window in now]
                fitted = [window.context < whole for window in now]
                divisible = [
                    not (clips[0].probe or fitted[place]) and self._is_divisible(window)
                    for place, window in enumerate(now)
                ]
                retried = [not each for each in fitted]
                decoded = decoder.decode(encoded, prefixes, asked, divisible, retried)
                for place, (window, result) in enumerate(zip(now, decoded, strict=True)):
                    draft = drafts[window.clip]
                    if fitted[place] and self._may_lack_words(draft, window, result):
                        windows.append(window._replace(context=whole))
                        continue
                    one = [layer.row(place, lengths[place]) for layer in encoded]
                    windows += self._add(draft, window, result, decoder, one)
        return RecognitionOutput([draft.finish() for draft in drafts], logits)

    def _window(self, clip: int, piece: AudioPiece, whole: int) -> _Window:
        """Return the window for the first attempt at *piece*.  A whole one has *whole* samples."""
        if not self._fits_windows:
            return _Window(clip, piece, whole)
        seconds = (piece.end - piece.start) / self._rate + SILENCE_SECONDS
        steps = max(2, math.ceil(seconds / CONTEXT_STEP_SECONDS))
        return _Window(clip, piece, min(whole, round(steps * CONTEXT_STEP_SECONDS * self._rate)))

    def _encode(
        self, decoder: PieceDecoder, clips: Sequence[AudioClip], windows: Sequence[_Window]
    ) -> tuple[EncodedPieces, list[int]]:
        """Return the encoded *windows*, and the number of positions of each.

        Windows of equal length share a pass of the encoder; all of them share the decoder's.
        """
        places: dict[int, list[int]] = {}
        for place, window in enumerate(windows):
            places.setdefault(window.context, []).append(place)
        encoded = [
            decoder.encode([_samples(clips, windows[place]) for place in group], context)
            for context, group in places.items()
        ]
        lengths = [0] * len(windows)
        for group, layers in zip(places.values(), encoded, strict=True):
            for place in group:
                lengths[place] = layers[0].keys.shape[2]
        order = [place for group in places.values() for place in group]
        rows = [order.index(place) for place in range(len(windows))]
        return [joined(layers, rows) for layers in zip(*encoded, strict=True)], lengths

    def _may_lack_words(self, draft: _Draft, window: _Window, decoded: DecodedPiece) -> bool:
        """Return whether the transcript of *window*, a fitted one, may lack words of its piece."""
        if not decoded.quality.is_good:
            return True
        if is_silence(decoded, draft.clip.parameters, self._vocabulary.first_timestamp):
            return False
        seconds = (window.piece.end - window.piece.start) / self._rate
        spans = find_spans(decoded.hypothesis, self._vocabulary, seconds)
        tokens = sum(span.last - span.first for span in spans)
        ended = spans[-1].end if spans else 0.0
        return seconds - ended > MISSED_SECONDS or tokens < SLOWEST_TOKENS * seconds

    def _prefixes(
        self,
        decoder: PieceDecoder,
        encoded: EncodedPieces,
        windows: Sequence[_Window],
        drafts: Sequence[_Draft],
    ) -> list[list[int]]:
        """Return the tokens before each transcript, after detecting languages not known yet."""
        unknown: dict[int, int] = {}  # clip -> its first window
        for place, window in enumerate(windows):
            if drafts[window.clip].language is None:
                unknown.setdefault(window.clip, place)
        if unknown:
            found = decoder.detect_languages(encoded, list(unknown.values()))
            for clip, (language, probability) in zip(unknown, found, strict=True):
                drafts[clip].language = language
                drafts[clip].language_probability = round(probability, PROBABILITY_DIGITS)
        prefixes = []
        for window in windows:
            draft = drafts[window.clip]
            decoding = draft.clip.decoding
            prefixes.append(
                self._vocabulary.prefix(
                    draft.language or ENGLISH,
                    draft.clip.parameters.task,
                    decoding.prompt,
                    timestamps=decoding.timestamps,
                )
            )
        return prefixes

    def _add(
        self,
        draft: _Draft,
        window: _Window,
        decoded: DecodedPiece,
        decoder: PieceDecoder,
        encoded: EncodedPieces,
    ) -> list[_Window]:
        """Add the text of *window* to *draft*.  Return the windows still to be transcribed."""
        if decoded.to_divide:
            halves = halve(draft.clip.samples, window.piece, self._rate)
            whole = draft.clip.decoding.context_samples
            return [self._window(window.clip, piece, whole) for piece in halves]
        if is_silence(decoded, draft.clip.parameters, self._vocabulary.first_timestamp):
            return []
        start, end = window.piece
        hypothesis = decoded.hypothesis
        seconds = (end - start) / self._rate
        spans = find_spans(hypothesis, self._vocabulary, seconds)
        rest = find_rest(hypothesis, self._vocabulary, seconds)
        if rest is not None:
            spans = [span for span in spans if span.end <= rest]
        words: list[list[PieceWord]] | None = None
        if draft.clip.parameters.word_timestamps:
            words = self._words(draft, spans, hypothesis, seconds, decoder, encoded)
        parts = [
            self._part(draft, start, span, decoded, words[number] if words else None)
            for number, span in enumerate(spans)
        ]
        draft.parts.append((start, [part for part in parts if part.segment.text]))
        if rest is None:
            return []
        piece = AudioPiece(start + round(rest * self._rate), end)
        return [self._window(window.clip, piece, draft.clip.decoding.context_samples)]

    def _is_divisible(self, window: _Window) -> bool:
        return window.piece.end - window.piece.start >= DIVISIBLE_SECONDS * self._rate

    def _part(
        self,
        draft: _Draft,
        first_sample: int,
        span: TextSpan,
        decoded: DecodedPiece,
        words: list[PieceWord] | None,
    ) -> _Part:
        """Return the part for *span*, which lasts from the first to the last of *words*, if any."""
        hypothesis = decoded.hypothesis
        logprobs = hypothesis.logprobs[span.first : span.last]
        text = self._checkpoint.tokenizer.decode(hypothesis.tokens[span.first : span.last])
        timed = [
            Word(
                word.word,
                self._time(draft, first_sample, word.start),
                self._time(draft, first_sample, word.end),
                round(word.probability, PROBABILITY_DIGITS),
            )
            for word in words or ()
        ]
        segment = Segment(
            timed[0].start if timed else self._time(draft, first_sample, span.start),
            timed[-1].end if timed else self._time(draft, first_sample, span.end),
            text.strip(),
            round(math.exp(math.fsum(logprobs) / len(logprobs)), PROBABILITY_DIGITS),
            round(decoded.no_speech, PROBABILITY_DIGITS),
            msgspec.UNSET if words is None else timed,
        )
        return _Part(segment, text)

    def _words(
        self,
        draft: _Draft,
        spans: Sequence[TextSpan],
        hypothesis: Hypothesis,
        seconds: float,
        decoder: PieceDecoder,
        encoded: EncodedPieces,
    ) -> list[list[PieceWord]]:
        """Return the words of each of *spans*, timed by a forced pass over their text."""
        if not spans:
            return []
        vocabulary = self._vocabulary
        language, task = draft.language or ENGLISH, draft.clip.parameters.task
        prefix = vocabulary.prefix(language, task, (), timestamps=False)
        tokens = [token for span in spans for token in hypothesis.tokens[span.first : span.last]]
        scores = decoder.attention_scores(encoded, [*prefix, *tokens])
        times = token_times(scores[:, len(prefix) - 1 :], seconds)
        spoken = language if task == "transcribe" else ENGLISH
        return time_words(times, spans, hypothesis, self._checkpoint.tokenizer.decode, spoken)

    def _time(self, draft: _Draft, first_sample: int, seconds: float) -> float:
        """Return a time for the answer, in whole hundredths and never after the audio's end."""
        offset = draft.clip.parameters.offset
        end = offset + len(draft.clip.samples) / self._rate
        latest = math.floor(end * CENTISECONDS + 1e-6) / CENTISECONDS
        return min(round(offset + first_sample / self._rate + seconds, 2), latest)


def _samples(clips: Sequence[AudioClip], window: _Window) -> Samples:
    return clips[window.clip].samples[window.piece.start : window.piece.end]

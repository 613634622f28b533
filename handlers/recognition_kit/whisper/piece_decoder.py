"""Decodes pieces of audio: encodes them, detects their language, decodes, and retries if needed."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from handler_kit.wav import Samples
from recognition_kit.audio_clip import DecodingSettings
from recognition_kit.parameters import TranscriptionParameters
from recognition_kit.whisper.beam_search import BeamSearch
from recognition_kit.whisper.checkpoint import WhisperCheckpoint
from recognition_kit.whisper.greedy import GreedyDecoding, TokenSampler
from recognition_kit.whisper.hypothesis import MAX_COMPRESSION, Hypothesis, compression_ratio
from recognition_kit.whisper.logit_filter import LogitFilter
from recognition_kit.whisper.network import DecoderCache, KeysValues, WhisperNetwork
from recognition_kit.whisper.prompts import is_cut, is_echo

EncodedPieces = list[KeysValues]


class Quality(NamedTuple):
    """The quality of a decoding.  Of two, the greater is the better.

    A decoding *is_acceptable* if nothing better is found: it is probable, has ended and does not
    merely repeat the prompt.  One that does not repeat itself too often *is_varied*.
    """

    is_good: bool = False
    is_acceptable: bool = False
    is_varied: bool = True
    likelihood: float = 0.0


class DecodedPiece(NamedTuple):
    """The decoding of a piece, and the probability that it contains no speech.

    If *to_divide*, the text repeats itself, and the piece must be transcribed in shorter ones.
    """

    hypothesis: Hypothesis
    no_speech: float
    quality: Quality = Quality()
    to_divide: bool = False


class _Attempt(NamedTuple):
    """One way to decode.  If *prompted*, with the client's prompt before the transcript."""

    temperature: float
    prompted: bool


class PieceDecoder:
    """One pass over pieces that share *decoding*.  *network* may be the compiled one."""

    def __init__(
        self, checkpoint: WhisperCheckpoint, network: WhisperNetwork, decoding: DecodingSettings
    ) -> None:
        self._checkpoint = checkpoint
        self._network = network
        self._decoding = decoding
        self._vocabulary = checkpoint.vocabulary
        weight = network.decoder.embed_tokens.weight
        self._device, self._dtype = weight.device, weight.dtype
        self._filter = LogitFilter(
            checkpoint.vocabulary,
            self._device,
            timestamps=decoding.timestamps,
            suppress_blank=decoding.suppress_blank,
        )

    def encode(self, pieces: Sequence[Samples], context_samples: int) -> EncodedPieces:
        """Encode *pieces*, padded with silence to *context_samples*, once for all attempts."""
        mel = self._checkpoint.mel(pieces, context_samples)
        return self._network.encoder_keys_values(self._network(mel.to(self._dtype)))

    def detect_languages(
        self, encoded: EncodedPieces, places: Sequence[int]
    ) -> list[tuple[str, float]]:
        """Return the most probable language of each of *places*, and its probability."""
        codes = list(self._vocabulary.languages)
        tokens = list(self._vocabulary.languages.values())
        _, states = self._start(_take(encoded, places), [[self._vocabulary.start]] * len(places), 1)
        found = self._network.logits(states[:, -1])[:, tokens].softmax(dim=1).max(dim=1)
        likeliest = zip(found.indices.tolist(), found.values.tolist(), strict=True)
        return [(codes[number], probability) for number, probability in likeliest]

    def decode(
        self,
        encoded: EncodedPieces,
        prefixes: Sequence[list[int]],
        asked: Sequence[TranscriptionParameters],
        divisible: Sequence[bool],
        retried: Sequence[bool],
    ) -> list[DecodedPiece]:
        """Return the best decoding of each piece.

        A decoding with the client's prompt is checked against one without it: with a prompt, the
        decoder may omit speech that the prompt contains.  A decoding that repeats itself or is too
        improbable is retried: first without the prompt, then at higher temperatures (section 4.5
        of the Whisper paper).  If none is good, the best one counts.  A *divisible* piece whose
        text repeats itself is marked *to_divide* instead.  A piece that is not to be *retried* is
        never decoded at higher temperatures.
        """
        best: list[DecodedPiece | None] = [None] * len(prefixes)
        prompted: dict[
            int, DecodedPiece
        ] = {}  # good, but not yet compared with one without the prompt
        places = list(range(len(prefixes)))
        for attempt in self._attempts():
            tried = self._try(
                _take(encoded, places),
                [self._opening(prefixes[place], attempt) for place in places],
                [asked[place].seed for place in places],
                attempt.temperature,
            )
            left = []
            for place, result in zip(places, tried, strict=True):
                before = best[place]
                judged = self._judged(result, asked[place], prompted=attempt.prompted)
                if before is None or judged.quality > before.quality:
                    no_speech = before.no_speech if before else judged.no_speech
                    best[place] = judged._replace(no_speech=no_speech)
                bare = not attempt.prompted
                if place in prompted:
                    best[place] = self._uncut(prompted.pop(place), judged, asked[place])
                elif attempt.prompted and judged.quality.is_good and judged.hypothesis.tokens:
                    prompted[place] = judged
                    left.append(place)
                elif not judged.quality.is_varied and bare and divisible[place]:
                    best[place] = judged._replace(to_divide=True)
                elif not judged.quality.is_good and (attempt.prompted or retried[place]):
                    left.append(place)
            places = left
            if not places:
                break
        return [result for result in best if result is not None]

    def _uncut(
        self, prompted: DecodedPiece, bare: DecodedPiece, asked: TranscriptionParameters
    ) -> DecodedPiece:
        """Return *prompted*, or *bare* if that is good and has words that *prompted* omits."""
        texts = self._text(prompted.hypothesis), self._text(bare.hypothesis)
        is_better = bare.quality.is_good and is_cut(*texts, asked.initial_prompt or "")
        return bare._replace(no_speech=prompted.no_speech) if is_better else prompted

    def _text(self, hypothesis: Hypothesis) -> str:
        first_time = self._vocabulary.first_timestamp
        return self._checkpoint.tokenizer.decode(
            [token for token in hypothesis.tokens if token < first_time]
        )

    def _attempts(self) -> list["_Attempt"]:
        coolest, *warmer = self._decoding.temperatures
        prompted = [_Attempt(coolest, prompted=True)] if self._decoding.prompt else []
        return [*prompted, *(_Attempt(one, prompted=False) for one in (coolest, *warmer))]

    def _opening(self, prefix: list[int], attempt: "_Attempt") -> list[int]:
        return prefix if attempt.prompted else prefix[prefix.index(self._vocabulary.start) :]

    def first_logits(self, encoded: EncodedPieces, prefixes: Sequence[list[int]]) -> torch.Tensor:
        """Return the logits of the first token [pieces, vocabulary], in float32 on the CPU."""
        _, states = self._start(encoded, prefixes, 1)
        return self._network.logits(states[:, -1]).cpu()

    def attention_scores(self, encoded: EncodedPieces, tokens: list[int]) -> torch.Tensor:
        """Return the alignment heads' scores [heads, tokens, positions] for a piece's *tokens*."""
        seen: list[torch.Tensor] = []
        cache = self._network.cache(encoded, 1, len(tokens))
        row = torch.tensor([tokens], device=self._device)
        self._network.step(row, cache, self._checkpoint.alignment_heads, seen)
        return torch.cat(seen)

    def _try(
        self,
        encoded: EncodedPieces,
        prefixes: list[list[int]],
        seeds: list[int],
        temperature: float,
    ) -> list[DecodedPiece]:
        width = self._decoding.beam_size if temperature == 0 else 1
        cache, states = self._start(encoded, prefixes, width)
        logits = self._network.logits(states[:, -1])
        at_start = prefixes[0].index(self._vocabulary.start)
        first = (
            logits if at_start == states.shape[1] - 1 else self._network.logits(states[:, at_start])
        )
        no_speech = first.softmax(dim=1)[:, self._vocabulary.no_speech].tolist()
        end, limit = self._vocabulary.end, self._limit(len(prefixes[0]))
        search: BeamSearch | GreedyDecoding
        if width > 1:
            search = BeamSearch(self._network, self._filter, end, width)
        else:
            sampler = TokenSampler(seeds, temperature) if temperature else None
            search = GreedyDecoding(self._network, self._filter, end, sampler)
        return [
            DecodedPiece(hypothesis, probability)
            for hypothesis, probability in zip(
                search.run(logits, cache, limit), no_speech, strict=True
            )
        ]

    def _start(
        self, encoded: EncodedPieces, prefixes: Sequence[list[int]], width: int
    ) -> tuple[DecoderCache, torch.Tensor]:
        """Return a cache that holds *prefixes*, *width* times each, and the states of *prefixes*.

        The states are [pieces, tokens, width of the network].
        """
        length = len(prefixes[0])
        cache = self._network.cache(encoded, width, length + self._limit(length))
        tokens = torch.tensor(prefixes, device=self._device).repeat_interleave(width, dim=0)
        return cache, self._network.step(tokens, cache)[::width]

    def _limit(self, prefix: int) -> int:
        return min(self._decoding.max_tokens, self._checkpoint.max_positions - prefix)

    def _judged(
        self, decoded: DecodedPiece, asked: TranscriptionParameters, *, prompted: bool
    ) -> DecodedPiece:
        """Return *decoded* with its quality.  Silence is good; a repetitive text is not."""
        if is_silence(decoded, asked, self._vocabulary.first_timestamp):
            return decoded._replace(quality=Quality(is_good=True))
        hypothesis = decoded.hypothesis
        text = self._text(hypothesis)
        mean = hypothesis.mean_logprob
        likely = asked.logprob_threshold is None or mean >= asked.logprob_threshold
        repeats = compression_ratio(text) > MAX_COMPRESSION
        echoes = prompted and is_echo(text, asked.initial_prompt or "")
        return decoded._replace(
            quality=Quality(
                is_good=likely and not repeats and not echoes,
                is_acceptable=likely and hypothesis.ended and not echoes,
                is_varied=not repeats,
                likelihood=mean,
            )
        )


def is_silence(decoded: DecodedPiece, asked: TranscriptionParameters, first_timestamp: int) -> bool:
    """Return whether the piece is silent: "no speech" is probable, and the text is not.

    Unlike in Whisper, times and the end do not count for the probability of the text.  They are
    easy to predict, and would make probable the one word ("you") that silence is often decoded to.
    Without a logprob_threshold, the no-speech probability alone decides.
    """
    if asked.no_speech_threshold is None or decoded.no_speech <= asked.no_speech_threshold:
        return False
    threshold = asked.logprob_threshold
    return threshold is None or decoded.hypothesis.text_logprob(first_timestamp) < threshold


def _take(encoded: EncodedPieces, places: Sequence[int]) -> EncodedPieces:
    if len(places) == len(encoded[0].keys):
        return encoded
    rows = torch.tensor(places, device=encoded[0].keys.device)
    return [layer.take(rows) for layer in encoded]

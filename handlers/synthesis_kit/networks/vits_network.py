"""VITS and MMS-TTS (transformers' VitsModel): letters of any language, one speaker or many."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn.utils import parametrize
from torch.nn.utils.rnn import pad_sequence
from transformers import VitsModel, VitsTokenizer
from transformers.utils.import_utils import is_uroman_available

from handler_kit.errors import InvalidInput
from handler_kit.hub_checkpoint import load_model, load_tokenizer
from synthesis_kit.networks.espeak_symbols import espeak_symbols
from synthesis_kit.networks.vits_batch import MOST_FRAMES, mask_of, padded, stretched
from synthesis_kit.text.reading import LetterReader, PhonemeReader, SymbolReader
from synthesis_kit.utterance import SynthesisNetwork, Utterance

NEVER_RUN = 1  # of the durations' flows: VitsModel skips it too, as useless


class VitsNetwork(SynthesisNetwork):
    """`SynthesisNetwork` with a VitsModel; a row draws what VitsModel would draw for it alone.

    The text encoder, the durations and the flow take a batch; the decoder, which has no mask, takes
    one utterance after another.
    """

    controls = frozenset({"speed"})

    def __init__(self, voice: Any, tokenizer: Any) -> None:
        self.model = voice
        self.sample_rate = int(voice.config.sampling_rate)
        self._voice = voice
        self._tokenizer = tokenizer
        self._numbers: dict[str, int] = tokenizer.encoder
        if voice.config.num_speakers > 1:
            self.speakers = frozenset(map(str, range(voice.config.num_speakers)))

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> "VitsNetwork":
        """Load a checkpoint with `vocab.json` and `tokenizer_config.json`.  Raises LoadError."""
        voice = load_model(VitsModel, folder, device)
        for module in voice.modules():
            if parametrize.is_parametrized(module, "weight"):
                parametrize.remove_parametrizations(module, "weight")
        return cls(voice, load_tokenizer(VitsTokenizer, folder))

    def reader(self) -> SymbolReader:
        """Return a reader of letters, or of English phonemes where the voice wants espeak's."""
        return PhonemeReader() if self._tokenizer.phonemize else LetterReader(self._letters)

    def length(self, utterance: Utterance) -> int:
        """Return how many symbols it has, with the blanks between them."""
        return len(self._ids(utterance))

    def speak(self, utterances: Sequence[Utterance]) -> list[Tensor]:
        """Return samples, float32 on the CPU, one row per utterance, each with its own tempo."""
        voice = self._voice
        draws = [Generator().manual_seed(each.seed) for each in utterances]
        symbols = [self._ids(each) for each in utterances]
        mask = mask_of([len(each) for each in symbols], voice.device)
        speakers = self._speaker_embeddings(utterances)
        prior = voice.text_encoder(
            padded(symbols, voice.device),
            padding_mask=mask.transpose(1, 2),
            attention_mask=mask[:, 0].long(),
        )
        durations = self._durations(prior.last_hidden_state, mask, speakers, draws)
        frames = [
            torch.ceil(row[: len(own)] * each.prosody.duration / voice.speaking_rate).long()
            for row, own, each in zip(durations, symbols, utterances, strict=True)
        ]
        counts = [int(each.sum()) for each in frames]
        means = stretched(prior.prior_means, frames)
        deviations = torch.exp(stretched(prior.prior_log_variances, frames))
        noise = _noise(means.shape[1], counts, draws).to(voice.device)
        latents = means + noise * deviations * voice.noise_scale
        spectrograms = voice.flow(latents, mask_of(counts, voice.device), speakers, reverse=True)
        return [
            voice.decoder(
                spectrograms[place : place + 1, :, :count],
                None if speakers is None else speakers[place : place + 1],
            )[0, 0].cpu()
            for place, count in enumerate(counts)
        ]

    def _durations(
        self, hidden: Tensor, mask: Tensor, speakers: Tensor | None, draws: list[Generator]
    ) -> Tensor:
        """Return frames per symbol [n, length], not yet whole."""
        predictor = self._voice.duration_predictor
        hidden = hidden.transpose(1, 2)
        if not self._voice.config.use_stochastic_duration_prediction:
            plain: Tensor = predictor(hidden, mask, speakers)
            return torch.exp(plain[:, 0]).clamp(max=MOST_FRAMES)
        condition = predictor.conv_pre(hidden)
        if speakers is not None:
            condition = condition + predictor.cond(speakers)
        condition = predictor.conv_proj(predictor.conv_dds(condition, mask)) * mask
        lengths = mask[:, 0].sum(1).long().tolist()
        rows = [
            torch.randn(1, 2, length, generator=draw)[0].T
            for length, draw in zip(lengths, draws, strict=True)
        ]
        noise = pad_sequence(rows, batch_first=True).transpose(1, 2).to(mask.device)
        latents = noise * self._voice.noise_scale_duration
        for place in range(len(predictor.flows) - 1, -1, -1):
            if place != NEVER_RUN:
                latents = torch.flip(latents, [1])
                flow = predictor.flows[place]
                latents, _ = flow(latents, mask, global_conditioning=condition, reverse=True)
        return torch.exp(latents[:, 0]).clamp(max=MOST_FRAMES)

    def _speaker_embeddings(self, utterances: Sequence[Utterance]) -> Tensor | None:
        """Return [n, size, 1], or None for a network with one speaker."""
        if self.speakers is None:
            return None
        numbers = torch.tensor([int(each.speaker or 0) for each in utterances])
        embedded: Tensor = self._voice.embed_speaker(numbers.to(self._voice.device))
        return embedded[..., None]

    def _letters(self, text: str) -> str:
        """Return *text* as the tokenizer prepares it.  Raises InvalidInput."""
        if self._tokenizer.is_uroman and not text.isascii() and not is_uroman_available():
            raise InvalidInput(
                "This voice reads romanised text (uroman, which is not installed): "
                "write it in Latin letters"
            )
        prepared, _ = self._tokenizer.prepare_for_tokenization(text)
        return "".join(each for each in prepared if each in self._numbers)

    def _ids(self, utterance: Utterance) -> Tensor:
        symbols = utterance.symbols
        if self._tokenizer.phonemize:
            symbols = espeak_symbols(symbols)
        ids = [self._numbers[each] for each in symbols if each in self._numbers]
        if self._tokenizer.add_blank:
            blanked = [0] * (2 * len(ids) + 1)
            blanked[1::2] = ids
            ids = blanked
        return torch.tensor(ids)


def _noise(channels: int, counts: Sequence[int], draws: Sequence[Generator]) -> Tensor:
    """Return normal noise [n, channels, longest].

    In memory, frames are the outer dimension, as VitsModel's are: torch draws other numbers for
    other layouts.
    """
    rows = [
        torch.empty(1, count, channels).transpose(1, 2).normal_(generator=draw)[0].T
        for count, draw in zip(counts, draws, strict=True)
    ]
    return pad_sequence(rows, batch_first=True).transpose(1, 2)

"""Wav2Vec2 with a CTC head (https://arxiv.org/abs/2006.11477) as a recogniser."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

from handler_kit.hub_checkpoint import load_model, load_tokenizer
from handler_kit.wav import Samples
from recognition_kit.options import RecognitionOptions
from recognition_kit.piecewise.ctc_words import Alphabet, Letter, phrases_of, spoken
from recognition_kit.piecewise.recogniser import PieceOutputs, PiecewiseRecogniser


class CtcRecogniser(PiecewiseRecogniser):
    """`Recogniser` with a Wav2Vec2ForCTC: the most probable letter per frame, no language model.

    Pieces share a pass if the checkpoint was trained with masks (`feat_extract_norm` "layer").
    Otherwise its norm includes the padding of a piece, so each piece is processed alone.
    """

    word_times = True

    def __init__(self, folder: Path, device: torch.device, options: RecognitionOptions) -> None:
        self.network = load_model(Wav2Vec2ForCTC, folder, device)
        self._options = options
        self._extractor = load_tokenizer(Wav2Vec2FeatureExtractor, folder)
        self.sample_rate = int(self._extractor.sampling_rate)
        config: Any = self.network.config
        self._masked = config.feat_extract_norm == "layer"
        self._convolutions = list(zip(config.conv_kernel, config.conv_stride, strict=True))
        if config.add_adapter:
            self._convolutions += [(1, config.adapter_stride)] * config.num_adapter_layers
        self._alphabet = _alphabet(load_tokenizer(Wav2Vec2CTCTokenizer, folder))
        strides = [stride for _, stride in self._convolutions]
        self._seconds_per_frame = float(np.prod(strides)) / self.sample_rate

    def hear(self, network: torch.nn.Module, pieces: Sequence[Samples]) -> PieceOutputs:
        """Decode greedily: equal tokens in consecutive frames are one letter."""
        groups = [list(pieces)] if self._masked else [[piece] for piece in pieces]
        rows = [row for group in groups for row in self._logits(network, group)]
        return PieceOutputs(
            [phrases_of(self._letters(row), self._seconds_per_frame) for row in rows],
            rows,
        )

    def _letters(self, logits: torch.Tensor) -> list[Letter]:
        found = logits.log_softmax(dim=1)
        found[:, list(self._alphabet.never)] = -torch.inf
        likeliest = found.max(dim=1)
        return spoken(likeliest.indices.tolist(), likeliest.values.tolist(), self._alphabet)

    def _logits(self, network: torch.nn.Module, pieces: list[Samples]) -> list[torch.Tensor]:
        """Return [frames, tokens] of each piece, in float32 on the CPU."""
        inputs = self._extractor(
            pieces,
            sampling_rate=self.sample_rate,
            padding=True,
            return_attention_mask=self._masked,
            return_tensors="pt",
        )
        weight = next(network.parameters())
        mask = inputs["attention_mask"].to(weight.device) if self._masked else None
        found = network(inputs["input_values"].to(weight), attention_mask=mask).logits.float().cpu()
        return [row[: self._frames(len(piece))] for row, piece in zip(found, pieces, strict=True)]

    def _frames(self, samples: int) -> int:
        for kernel, stride in self._convolutions:
            samples = (samples - kernel) // stride + 1
        return samples


def _alphabet(tokenizer: Any) -> Alphabet:
    vocabulary = tokenizer.get_vocab()
    blank = int(tokenizer.pad_token_id)
    letters = {
        number: letter.lower() if tokenizer.do_lower_case else letter
        for letter, number in vocabulary.items()
    }
    return Alphabet(
        letters=letters,
        blank=blank,
        space=vocabulary.get(tokenizer.word_delimiter_token),
        never=frozenset(tokenizer.all_special_ids) - {blank},
    )

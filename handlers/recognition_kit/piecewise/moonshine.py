"""Moonshine (https://arxiv.org/abs/2410.15608) as a recogniser."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, MoonshineForConditionalGeneration, Wav2Vec2FeatureExtractor

from handler_kit.hub_checkpoint import load_model, load_tokenizer
from handler_kit.wav import Samples
from recognition_kit.options import RecognitionOptions
from recognition_kit.piecewise.recogniser import Phrase, PieceOutputs, PiecewiseRecogniser

TOKENS_PER_SECOND = 6.5  # the model card's limit, beyond which the decoder repeats itself


class MoonshineRecogniser(PiecewiseRecogniser):
    """`Recogniser` with a MoonshineForConditionalGeneration: always the most probable token.

    Its encoder's norm would include padding, which changes the result, so each piece is processed
    alone.  A piece is one phrase, since the network does not predict times.
    """

    word_times = False

    def __init__(self, folder: Path, device: torch.device, options: RecognitionOptions) -> None:
        self.network = load_model(MoonshineForConditionalGeneration, folder, device)
        self._options = options
        self._extractor = load_tokenizer(Wav2Vec2FeatureExtractor, folder)
        self._tokenizer = load_tokenizer(AutoTokenizer, folder)
        self.sample_rate = int(self._extractor.sampling_rate)
        config: Any = self.network.config
        self._most_tokens = int(config.max_position_embeddings) - 1  # without the start token

    def hear(self, network: torch.nn.Module, pieces: Sequence[Samples]) -> PieceOutputs:
        """Decode greedily.  The logits are those of the first tokens."""
        phrases, first_logits = [], []
        for piece in pieces:
            said = self._generate(network, piece)
            first_logits.append(said.logits[0].float().cpu().flatten())
            phrases.append(self._phrases(said, len(piece) / self.sample_rate))
        return PieceOutputs(phrases, first_logits)

    def _generate(self, network: Any, piece: Samples) -> Any:
        inputs = self._extractor(piece, sampling_rate=self.sample_rate, return_tensors="pt")
        tokens = math.ceil(len(piece) / self.sample_rate * TOKENS_PER_SECOND)
        return network.generate(
            inputs["input_values"].to(next(network.parameters())),
            max_new_tokens=min(tokens, self._most_tokens),
            do_sample=False,
            num_beams=1,
            return_dict_in_generate=True,
            output_logits=True,
        )

    def _phrases(self, said: Any, seconds: float) -> list[Phrase]:
        """Return the text as one phrase, or none for silence."""
        tokens = said.sequences[0, 1:]
        text = self._tokenizer.decode(tokens, skip_special_tokens=True).strip()
        if not text:
            return []
        found = torch.cat(said.logits).float().log_softmax(dim=1)
        logprobs = found.gather(1, tokens[:, None])
        confidence = math.exp(float(logprobs.mean()))
        return [Phrase(text, 0.0, seconds, confidence, [])]

"""The network that turns a voice into numbers (x-vectors), for SpeechT5."""

import hashlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForAudioXVector, Wav2Vec2FeatureExtractor

from handler_kit.errors import InvalidInput, LoadError
from handler_kit.hub_checkpoint import load_model, load_tokenizer
from handler_kit.wav import read_wav
from synthesis_kit.cloning import Embedding

MIN_SECONDS, MAX_SECONDS = 1.0, 60.0
KEPT = 32  # voices that were heard: the sentences of one text bring the same audio


class XVectorNetwork:
    """WavLM, Wav2Vec2, UniSpeechSat … with an x-vector head."""

    def __init__(self, folder: Path, size: int, device: torch.device) -> None:
        """Load the network.  Raises LoadError, also if its vectors do not have *size* numbers."""
        self._model: Any = load_model(AutoModelForAudioXVector, folder, device)
        self._extractor = load_tokenizer(Wav2Vec2FeatureExtractor, folder)
        found = self._model.config.xvector_output_dim
        if found != size:
            raise LoadError(f"{folder.name}: its voices have {found} numbers; expected {size}")
        self._kept: OrderedDict[bytes, Embedding] = OrderedDict()

    def embedding(self, wav: bytes) -> Embedding:
        """Return the voice in a 16-bit WAV file, normalised to length 1.  Raises InvalidInput."""
        key = hashlib.sha256(wav).digest()
        if key not in self._kept:
            self._kept[key] = self._heard(wav)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return self._kept[key]

    @torch.inference_mode()
    def _heard(self, wav: bytes) -> Embedding:
        rate = int(self._extractor.sampling_rate)
        try:
            samples = read_wav(wav, rate)
        except InvalidInput as exc:
            raise InvalidInput(str(exc), field="reference_audio") from exc
        seconds = len(samples) / rate
        if not MIN_SECONDS <= seconds <= MAX_SECONDS:
            raise InvalidInput(
                f"it lasts {seconds:.1f} s, {MIN_SECONDS:g} to {MAX_SECONDS:g} s are heard",
                field="reference_audio",
            )
        inputs = self._extractor(samples, sampling_rate=rate, return_tensors="pt")
        found = self._model(inputs["input_values"].to(self._model.device)).embeddings[0]
        return tuple(torch.nn.functional.normalize(found, dim=0).tolist())

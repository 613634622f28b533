"""The log-mel spectrograms of Whisper's training (``whisper/audio.py``, `log_mel_spectrogram`)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import WhisperFeatureExtractor

from handler_kit.errors import LoadError
from handler_kit.wav import Samples

FLOOR = 1e-10  # of the power of a mel bin
DYNAMIC_RANGE = 8.0  # powers of ten below the loudest bin


class LogMel:
    """Computes spectrograms with the checkpoint's mel bins.

    The silence that pads the audio to 30 s is filled in without computing it.
    """

    def __init__(self, extractor: WhisperFeatureExtractor, device: torch.device) -> None:
        self.sample_rate: int = extractor.sampling_rate
        self.max_samples: int = extractor.n_samples
        self.max_frames = self.max_samples // extractor.hop_length
        self.max_seconds = self.max_samples / self.sample_rate
        self._fft, self._hop = extractor.n_fft, extractor.hop_length
        self._window = torch.hann_window(self._fft, device=device)
        filters = np.ascontiguousarray(extractor.mel_filters.T, dtype=np.float32)
        self._filters = torch.from_numpy(filters).to(device)

    def __call__(self, clips: Sequence[Samples], max_samples: int) -> torch.Tensor:
        """Return [clips, mel bins, frames of *max_samples*] in float32.  No clip may be longer."""
        frames = max_samples // self._hop
        return torch.stack([self._spectrogram(clip, frames) for clip in clips])

    def _spectrogram(self, clip: Samples, frames: int) -> torch.Tensor:
        """Return [mel bins, *frames*].  A clip without samples is silence."""
        heard = min(-(-(len(clip) + self._fft) // self._hop), frames)
        audio = self._window.new_zeros(heard * self._hop)
        audio[: len(clip)] = torch.from_numpy(clip)
        spectrum = torch.stft(audio, self._fft, self._hop, window=self._window, return_complex=True)
        power = (spectrum[:, :-1].abs() ** 2).contiguous()
        mel = (self._filters @ power).clamp(min=FLOOR).log10()
        mel = torch.nn.functional.pad(mel, (0, frames - heard), value=float(np.log10(FLOOR)))
        return (torch.maximum(mel, mel.max() - DYNAMIC_RANGE) + 4) / 4


def load_mel(folder: Path, device: torch.device) -> LogMel:
    """Return the spectrograms that the checkpoint in *folder* expects.  Raises LoadError."""
    try:
        extractor = WhisperFeatureExtractor.from_pretrained(folder, local_files_only=True)
    except Exception as exc:
        raise LoadError(f"cannot read preprocessor_config.json: {exc}") from exc
    return LogMel(extractor, device)

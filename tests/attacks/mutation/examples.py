"""A good request, or several, for every route."""

import base64
from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import cache
from typing import Any

import jwt

from tests.attacks.mutation.draft import Draft, Part
from tests.integration.server import SECRET
from tests.sidecar.speech.audio_files import speech_like, write

Route = tuple[str, str]  # method, path
SOUNDS = {
    "wav": ("wav", "pcm_s16le"),
    "flac": ("flac", "flac"),
    "ogg": ("ogg", "libopus"),
    "mp3": ("mp3", "libmp3lame"),
}
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d494844520000000100000001080600000 01f15c489"
    "0000000d49444154789c6360f8cf500f000381017f1c4a5ad10000000049454e44ae426082".replace(" ", "")
)
GIF = b"GIF89a\1\0\1\0\x80\0\0\xff\xff\xff\0\0\0!\xf9\4\1\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
NEVER = 4_102_444_800  # the year 2100, in epoch seconds
SHORT = {"timeout": 5}  # seconds: nobody has to wait for what a change has made long


@cache
def sound(kind: str) -> bytes:
    """Half a second of audio in one of the formats of SOUNDS."""
    container, codec = SOUNDS[kind]
    same = {"fflags": "bitexact"}  # otherwise some formats have a number at random
    return write(container, codec, speech_like(0.5, 16000), 16000, options=same)


def data_uri(kind: str, data: bytes) -> str:
    """*data* in base64, as a JSON body has it."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _fields(fields: dict[str, Any]) -> Draft:
    return Draft(b"", b"", fields=fields)


def _form(kind: str, fields: Mapping[str, bytes]) -> Draft:
    name = b'Content-Disposition: form-data; name="%s"'
    parts = [Part(name % key.encode(), value) for key, value in fields.items()]
    head = (name + b'; filename="a.%s"') % (b"file", kind.encode())
    return Draft(b"", b"", parts=[*parts, Part(head, sound(kind))])


def _predictions() -> list[Draft]:
    texts = ["a text", ["two", "texts"]]
    pictures = [data_uri("image/png", PNG), {"image": data_uri("image/gif", GIF)}]
    inputs: list[Any] = [[0, 1, 2, 3], [[0, 1, 2, 3], [0, 4, 5, 6]], *texts, *pictures]
    body = {"model_name": "faulty", "priority": 1, "enable_batching": True, **SHORT}
    return [_fields(body | {"inputs": each}) for each in inputs]


def _syntheses() -> list[Draft]:
    how = {"voice": "default", "speed": 1.5, "seed": 7, "emotion": "calm", "quality": "low"}
    return [
        _fields({"text": "Hello.", "model": "hibari_tts", **how, **SHORT}),
        _fields({"inputs": "Hello.", "output_format": "mp3", "language": "en", **SHORT}),
        _fields({"text": "Hello.", "enable_streaming": True, "normalize_text": True, **SHORT}),
    ]


def _recordings(fields: dict[str, Any]) -> list[Draft]:
    texts = {name: str(value).lower().encode() for name, value in fields.items()}
    in_json = [
        _fields({"inputs": data_uri(f"audio/{kind}", sound(kind)), **fields}) for kind in SOUNDS
    ]
    return [*(_form(kind, texts) for kind in SOUNDS), *in_json]


def _nothing() -> list[Draft]:
    return [Draft(b"", b"")]


def _one(fields: dict[str, Any]) -> Callable[[], list[Draft]]:
    return lambda: [_fields(deepcopy(fields))]  # a change is made in place


_TRANSCRIPTION = {"language": "en", "temperature": 0.0, "beam_size": 1, "stream": False, **SHORT}
_SPEECH = {"voice": {"id": "nova"}, "instructions": "calm", "stream_format": "sse", **SHORT}
_VERBOSE = {"response_format": "verbose_json", "temperature": 0.5, **SHORT}
_DOWNLOAD = {
    "source": "local",
    "model_id": "faulty",
    "name": "another",
    "task": "tensor",
    "custom_settings": {"a": 1},
    "config": {"display_name": "Another", "inference": {"max_batch_size": 2}},
}
_SCALING = {"action": "scale_down", "models": ["corrupt"], "target_replicas": 1, "reason": "a test"}
_CONFIG = {"enabled": True, "cooldowns": {"quiet_seconds": 60.0}, "thresholds": {}}
_RANKING = {"model": "rerank-v3.5", "query": "a text", "documents": ["two", "texts"], **SHORT}
_WRITING = {"model": "faulty", "max_tokens": 5, "n": 2, "stop": ["."], "stream": True, **SHORT}
_MESSAGE = {"role": "user", "content": [{"type": "text", "text": "Hello."}]}
_TENSOR = {"name": "input", "shape": [2, 4], "datatype": "FP32", "data": [0, 1, 2, 3, 0, 4, 5, 6]}
_INFERENCE = {"inputs": [_TENSOR], "outputs": [{"name": "output"}], "id": "mine", "parameters": {}}
_MADE: Mapping[Route, Callable[[], list[Draft]]] = {
    ("POST", "/predict"): _predictions,
    ("POST", "/synthesize"): _syntheses,
    ("POST", "/transcribe"): lambda: _recordings(_TRANSCRIPTION),
    ("POST", "/audio/validate"): lambda: _recordings({"check_integrity": True, **SHORT}),
    ("POST", "/predictions/{name}"): _one({"data": "a text"}),
    ("POST", "/predictions/{name}/{version}"): _one({"data": "a text"}),
    ("POST", "/predictions/{name}/{version}/{url_path}"): _one({"data": "a text"}),
    ("POST", "/explanations/{name}"): _one({"data": "a text"}),
    ("POST", "/explanations/{name}/{version}"): _one({"data": "a text"}),
    ("POST", "/invocations"): _one({"data": "a text"}),
    ("POST", "/models/{name}/invoke"): _one({"data": "a text"}),
    ("POST", "/v1/models/{name}:predict"): _one({"instances": [[0, 1], [0, 2]]}),
    ("POST", "/v1/models/{name}:explain"): _one({"instances": [[0, 1], [0, 2]]}),
    ("POST", "/v1/embeddings"): _one({"model": "minilm", "input": ["two", "texts"], **SHORT}),
    ("POST", "/v1/completions"): _one({"prompt": ["Once upon", "a time"], **_WRITING}),
    ("POST", "/v1/chat/completions"): _one({"messages": [_MESSAGE], **_WRITING}),
    ("POST", "/v1/rerank"): _one(_RANKING),
    ("POST", "/v2/rerank"): _one(_RANKING),
    ("POST", "/v2/models/{name}/infer"): _one(_INFERENCE),
    ("POST", "/v2/models/{name}/versions/{version}/infer"): _one(_INFERENCE),
    ("POST", "/v2/models/{name}/explain"): _one(_INFERENCE),
    ("POST", "/v2/repository/index"): _one({"ready": True}),
    ("POST", "/v2/repository/models/{name}/load"): _one({"parameters": {}}),
    ("POST", "/v2/repository/models/{name}/unload"): _one({"parameters": {}}),
    ("POST", "/v1/audio/speech"): _one({"model": "tts-1", "input": "Hello.", **_SPEECH}),
    ("POST", "/v1/audio/transcriptions"): lambda: _recordings(
        {"model": "whisper-1", "timestamp_granularities[]": "word", **_VERBOSE}
    ),
    ("POST", "/v1/audio/translations"): lambda: _recordings({"model": "whisper-1", **_VERBOSE}),
    ("POST", "/models/{name}/add"): _one({}),
    ("POST", "/models/{name}/load"): _one({"reason": "a test"}),
    ("POST", "/models/{name}/unload"): _one({"reason": "a test", "version": "1.0"}),
    ("POST", "/models/{name}/default"): _one({"version": "1.0", "reason": "a test"}),
    ("POST", "/models/{name}/scale"): _one({"workers": 0, "reason": "a test"}),
    ("POST", "/models/download"): _one(_DOWNLOAD),
    ("POST", "/models/download/{id}/cancel"): _nothing,
    ("OPTIONS", "/ping"): _nothing,
    ("DELETE", "/models/download/{name}"): _nothing,
    ("DELETE", "/logs/{file}"): _nothing,
    ("POST", "/autoscaler/config"): _one(_CONFIG),
    ("POST", "/autoscaler/scale"): _one(_SCALING),
}
_NAMES = {"{version}": "1.0", "{id}": "nothing", "{file}": "server.log"}
_NAMED = {("POST", "/models/{name}/load"): "faulty", ("GET", "/models/{name}"): "faulty"}
_QUERIES = {
    "/autoscaler/history": "?hours=1&limit=5&event_types=wake,load",
    "/logs/{file}": "?lines=5&from_end=true",
    "/models/download/{name}": "?force=true",
}


@cache
def _token() -> str:
    """One that is the same whenever it is made, as the requests are to be."""
    return jwt.encode({"sub": "tester", "scope": "admin", "exp": NEVER}, SECRET, "HS256")


def examples(route: Route) -> list[Draft]:
    """Good requests to *route*.  Raises KeyError where there is none and one is needed."""
    method, path = route
    drafts = _nothing() if method == "GET" else _MADE[route]()
    target = path.replace("{name}", _NAMED.get(route, "corrupt"))
    for name, value in _NAMES.items():
        target = target.replace(name, value)
    for draft in drafts:
        draft.method, draft.target = method.encode(), (target + _QUERIES.get(path, "")).encode()
        draft.headers += [f"Authorization: Bearer {_token()}".encode(), b"X-Request-ID: mutated"]
    return drafts

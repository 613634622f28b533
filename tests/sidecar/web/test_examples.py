"""Every example of the API document works as it is."""

from pathlib import Path
from typing import Any

import pytest

from sidecar.routes.groups import ROUTES
from sidecar.settings import Settings
from sidecar.web.route import Route
from tests.fake_torchserve import FakeTorchServe, Spoken, Told
from tests.integration.tokens import bearer
from tests.sidecar.conftest import ECHO, SECRET, Client, StartSidecar
from tests.sidecar.routes.test_speech_refusals import FINDING, LISTENING, SPEAKING

ANSWERING: dict[str, Any] = {
    "echo": ECHO,
    "example": ECHO,
    "sentence_transformer": ECHO | {"task": "embedding", "handler": "text_embedding_handler"},
    "smollm2_135m": ECHO | {"task": "text_generation", "handler": "text_handler"},
    "ms_marco_minilm": ECHO | {"task": "text_ranking", "handler": "text_handler"},
    "hibari_tts": SPEAKING | {"auto_load": True},
    "whisper_tiny_en": LISTENING | {"auto_load": True},
    "vad": FINDING | {"auto_load": True},
}
JOE = SPEAKING | {
    "aliases": ["joe"],
    "source": "package",
    "package": {"name": "joe", "version": "1.0", "sha256": "0" * 64, "folder": "joe"},
}
# They need what this test has not: a handler of the operator, an entry in models.json, a query.
NOT_SENT = (
    "/explanations/{name}",
    "/explanations/{name}/{version}",
    "/invocations",
    "/models/{name}/add",
    "/models/{name}/invoke",
    "/v1/models/{name}:explain",
    "/v2/models/{name}/explain",
)
EXAMPLES = [
    route
    for route in ROUTES
    if route.example is not None and route.form != "only" and route.path not in NOT_SENT
]


def answered(value: Any) -> Any:
    """What any model answers: numbers as they are, the rest as the handlers would."""
    if isinstance(value, list):
        return value
    if isinstance(value, dict) and "parameters" in value:
        return {"score": 0.5, "tokens": 9}  # of a document
    if isinstance(value, bytes):
        return {"probabilities": [], "state": ""}  # nobody speaks
    return Told([0.6, 0.8], {"tokens": 4}) if value == "Hello world" else Spoken(bytes(4800))


@pytest.fixture
async def client(start: StartSidecar, torchserve: FakeTorchServe, tmp_path: Path) -> Client:
    """Models by the names that the examples have, and an archive that need not be downloaded."""
    store = tmp_path / "store"
    store.mkdir()
    for key in (*ANSWERING, "joe_tts"):
        (store / f"{key}.mar").write_bytes(b"an archive")
        torchserve.archives.add(f"{key}.mar")
    torchserve.answer = answered
    # Seldom, as a server does: looking at so many models without a pause takes a third of the
    # time that the page /docs needs for its examples.
    return await start(
        catalog=ANSWERING | {"joe_tts": JOE},
        model_store=store,
        poll_seconds=Settings().poll_seconds,
    )


@pytest.mark.parametrize("route", EXAMPLES, ids=lambda route: route.path)
async def test_every_example_works_as_it_is(client: Client, route: Route) -> None:
    url = route.path
    for place, value in {"name": "example", "version": "1.0", "url_path": "en"}.items():
        url = url.replace(f"{{{place}}}", value)
    response = await client.post(url, json=route.example, headers=bearer("admin", SECRET))
    assert response.status == 200, await response.text()

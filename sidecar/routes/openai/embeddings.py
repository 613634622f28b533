"""POST /v1/embeddings: turn texts into vectors."""

import array
import base64
import math
import sys
from collections.abc import Sequence

import msgspec
from aiohttp import web

from sidecar.errors import InvalidFields, InvalidInput
from sidecar.routes.inputs import split_inputs
from sidecar.routes.openai.names import NAMES
from sidecar.routes.predict import PARTS, PredictCall, predicted_replies
from sidecar.routes.results import all_there
from sidecar.scheduling.entry import Reply
from sidecar.schemas.openai.embeddings import (
    Embeddings,
    EmbeddingsRequest,
    TextEmbedding,
    TokenUsage,
)
from sidecar.web.admission import ADMISSION, CALL
from sidecar.web.body import read_json, scheduling_of
from sidecar.web.route import Route, json_response
from sidecar.web.turns import take_break

_request = msgspec.json.Decoder(EmbeddingsRequest)
_vector = msgspec.json.Decoder(list[float])
_encode = msgspec.json.Encoder().encode
PASS_NUMBERS = 1 << 15  # re-encoded at a time, between which other requests can run
LENGTH_TOLERANCE = 1e-3  # within which a vector counts as a unit vector


async def embed(request: web.Request) -> web.Response:
    """Answer with one vector for each text."""
    parts, admission, call = request.app[PARTS], request[ADMISSION], request[CALL]
    wanted = await read_json(admission, _request)
    asked = await _checked(request, wanted, parts.settings.max_inputs)
    call.inputs = len(asked.bodies)
    predicted, _ = await predicted_replies(admission, asked, parts)
    replies = all_there(predicted.replies)
    vectors = await _vectors(wanted, replies)
    call.success = True
    return json_response(
        Embeddings(
            "list",
            [TextEmbedding("embedding", place, vector) for place, vector in enumerate(vectors)],
            wanted.model,
            _usage(replies),
        )
    )


async def _checked(request: web.Request, wanted: EmbeddingsRequest, max_inputs: int) -> PredictCall:
    """Return the checked request.  Raises InvalidFields, InvalidInput and ModelNotFound."""
    inputs = bytes(wanted.input)
    await take_break(len(inputs))
    bodies, is_batch = split_inputs(inputs, rank=1, limit=max_inputs, field="input")
    if any(body[:1] != b'"' for body in bodies):
        raise InvalidFields(
            "expected a text or a list of texts; tokens are not supported", field="input"
        )
    model = request.app[NAMES].require(wanted.model)
    if model.spec.task != "embedding":
        raise InvalidInput(f"{wanted.model} is not an embedding model", field="model")
    scheduling = scheduling_of(request, wanted)
    return PredictCall(wanted.model, model, inputs, bodies, is_batch, scheduling)


async def _vectors(wanted: EmbeddingsRequest, replies: Sequence[Reply]) -> list[msgspec.Raw]:
    """Return the vectors as JSON.  The model's own JSON is passed on if nothing has to change."""
    as_base64 = wanted.encoding_format == "base64"
    if not as_base64 and wanted.dimensions is None:
        return [msgspec.Raw(reply.body) for reply in replies]
    vectors, numbers = [], 0
    for reply in replies:
        vector = _vector.decode(reply.body)
        if wanted.dimensions is not None:
            vector = cut(vector, wanted.dimensions)
        vectors.append(msgspec.Raw(_encode(_base64(vector) if as_base64 else vector)))
        numbers += len(vector)
        if numbers > PASS_NUMBERS:
            await take_break(sys.maxsize)
            numbers = 0
    return vectors


def cut(vector: list[float], dimensions: int) -> list[float]:
    """Return the first *dimensions* numbers of *vector*, scaled to length 1 if it had length 1.

    Raises InvalidInput if it has fewer numbers.
    """
    if dimensions > len(vector):
        raise InvalidInput(
            f"must be at most {len(vector)}, the dimensions of the model", field="dimensions"
        )
    kept = vector[:dimensions]
    length = math.hypot(*kept)
    if not length or abs(math.hypot(*vector) - 1) > LENGTH_TOLERANCE:
        return kept
    return [number / length for number in kept]


def _base64(vector: list[float]) -> str:
    """Return the numbers as little-endian 32-bit floats in base64."""
    numbers = array.array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()


def _usage(replies: Sequence[Reply]) -> TokenUsage:
    """Return how many tokens the handler counted."""
    tokens = sum(reply.parameters["tokens"] for reply in replies)
    return TokenUsage(tokens, tokens)


ROUTES = [
    Route(
        "POST",
        "/v1/embeddings",
        embed,
        "Turn texts into vectors",
        response=Embeddings,
        request=EmbeddingsRequest,
        statuses=(400, 401, 404, 413, 500, 503, 504),
        credential="optional",
        example={"model": "text-embedding-3-small", "input": "Hello world"},
        placeholders=True,
        measured_as="inference",
    )
]

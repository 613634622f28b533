"""POST /v1/rerank and /v2/rerank: rank documents by how well they answer a query.

Jina's clients and Cohere's first API use /v1, Cohere's current client /v2; both do the same.  Each
document becomes one input of the model, together with the query.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise

import msgspec
from aiohttp import web

from sidecar.errors import InvalidFields, InvalidInput
from sidecar.models.model import Model
from sidecar.routes.inputs import split_inputs
from sidecar.routes.openai.names import NAMES
from sidecar.routes.predict import PARTS, PredictCall, predicted_replies
from sidecar.routes.results import all_there
from sidecar.scheduling.entry import Body, Reply
from sidecar.schemas.openai.embeddings import TokenUsage
from sidecar.schemas.openai.rerank import (
    RankedDocuments,
    RankedResult,
    RankedText,
    ReadTokens,
    RerankMeta,
    RerankRequest,
)
from sidecar.settings import MB, Settings
from sidecar.telemetry.request_id import REQUEST_ID
from sidecar.web.admission import ADMISSION, CALL
from sidecar.web.body import read_json, scheduling_of
from sidecar.web.route import Route, json_response
from sidecar.web.turns import take_break

FIELD_NAMES = {"inputs": "documents", "model_name": "model"}


class _Relevance(msgspec.Struct):
    """The handler's answer for one document."""

    score: float
    tokens: int


_request = msgspec.json.Decoder(RerankRequest)
_relevance = msgspec.json.Decoder(_Relevance)
_document = msgspec.json.Decoder(RankedText)
_encode = msgspec.json.Encoder().encode


async def rerank(request: web.Request) -> web.Response:
    """Rank the documents by how well they answer the query.  The answer suits Jina and Cohere."""
    parts, admission, call = request.app[PARTS], request[ADMISSION], request[CALL]
    wanted = await read_json(admission, _request)
    admission.field_names = FIELD_NAMES
    documents = _documents(bytes(wanted.documents), parts.settings.max_inputs)
    call.inputs = len(documents)
    await take_break(len(memoryview(wanted.documents)))
    if not wanted.query_text.strip():
        raise InvalidFields("must not be blank", field="query")
    model = _model(request, wanted.model)
    inputs = _Inputs(wanted, documents, parts.settings)
    scheduling = scheduling_of(request, wanted)
    asked = PredictCall(wanted.model, model, inputs.joined, inputs.bodies, True, scheduling)
    predicted, _ = await predicted_replies(admission, asked, parts)
    answer = _answer(wanted, documents, all_there(predicted.replies))
    call.success = True
    return json_response(answer)


async def rerank_as_cohere(request: web.Request) -> web.Response:
    """Do the same as /v1/rerank, at the path that Cohere's client uses."""
    return await rerank(request)


def _model(request: web.Request, name: str) -> Model:
    """Return the ranking model *name*.  Raises InvalidInput and ModelNotFound."""
    model = request.app[NAMES].require(name)
    if model.spec.task != "text_ranking":
        raise InvalidInput(f"{name} is not a ranking model", field="model")
    return model


def _documents(raw: bytes, most: int) -> list[Body]:
    """Return each document as the JSON of its text, without decoding it.  Raises InvalidFields."""
    rule = "expected a list of texts or of objects with the field text"
    if not raw.startswith(b"["):
        raise InvalidFields(rule, field="documents")
    given, _ = split_inputs(raw, rank=1, limit=most, field="documents")
    if given[0][:1] == b'"':
        return given
    try:
        texts: list[Body] = [memoryview(_document.decode(each).text) for each in given]
    except msgspec.ValidationError:
        raise InvalidFields(rule, field="documents") from None
    if any(text[:1] != b'"' for text in texts):
        raise InvalidFields(rule, field="documents")
    return texts


class _Inputs:
    """The model's inputs: each of *documents* together with the query.

    *bodies* are the inputs as JSON, and *joined* is one JSON list of all.  Raises InvalidFields if
    they exceed the limit of memory; the query is part of each input.
    """

    def __init__(
        self, wanted: RerankRequest, documents: Sequence[Body], settings: Settings
    ) -> None:
        query = _encode(wanted.query_text)
        size = len(query) * len(documents) + sum(map(len, documents))
        if size > settings.max_rerank_mb * MB:
            raise InvalidFields(
                f"expected at most {settings.max_rerank_mb:g} MB, counting the query once for each",
                field="documents",
            )
        most = wanted.max_tokens_per_doc
        head = b'{"text":%b,"parameters":{"document":' % query
        tail = b"}}" if most is None else b',"max_document_tokens":%d}}' % most
        self.joined = b"[%b]" % b",".join(head + bytes(each) + tail for each in documents)
        view = memoryview(self.joined)
        around = len(head) + len(tail) + 1
        ends = pairwise(_places(len(each) + around for each in documents))
        self.bodies: list[Body] = [view[start : end - 1] for start, end in ends]


def _places(lengths: Iterator[int]) -> Iterator[int]:
    """Yield the offset of each item of a JSON list, and the offset after the last one."""
    place = len(b"[")
    yield place
    for length in lengths:
        place += length
        yield place


def _answer(
    wanted: RerankRequest, documents: Sequence[Body], replies: Sequence[Reply]
) -> RankedDocuments:
    found = [_relevance.decode(reply.body) for reply in replies]
    order = sorted(range(len(found)), key=lambda place: -found[place].score)
    tokens = sum(each.tokens for each in found)
    return RankedDocuments(
        REQUEST_ID.get(),
        wanted.model,
        [
            RankedResult(
                place,
                found[place].score,
                RankedText(msgspec.Raw(documents[place]))
                if wanted.return_documents
                else msgspec.UNSET,
            )
            for place in order[: wanted.top_n]
        ],
        TokenUsage(tokens, tokens),
        RerankMeta(ReadTokens(tokens)),
    )


_rerank_route = partial(
    Route,
    "POST",
    response=RankedDocuments,
    request=RerankRequest,
    statuses=(400, 401, 404, 413, 500, 503, 504),
    credential="optional",
    example={
        "model": "ms_marco_minilm",
        "query": "What is the capital of France?",
        "documents": ["It rains in Spain.", "Paris is the capital of France."],
        "top_n": 1,
        "return_documents": True,
    },
    placeholders=True,
    measured_as="inference",
)
ROUTES = [
    _rerank_route("/v1/rerank", rerank, "Rank documents by how well they answer a query"),
    _rerank_route("/v2/rerank", rerank_as_cohere, "Rank documents, at the path of Cohere's client"),
]

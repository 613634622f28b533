"""POST /v1/rerank and /v2/rerank: what the clients of Cohere and Jina ask and get."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import cohere
import pytest
from cohere.core import ApiError

from tests.fake_torchserve import FakeTorchServe, Refuse
from tests.sidecar.conftest import Client, StartSidecar
from tests.sidecar.openai.conftest import MODELS

DOCUMENTS = ["a", "a query", "query of a query"]
ASKED: dict[str, Any] = {"model": "ranker", "query": "query", "documents": DOCUMENTS}


@pytest.fixture(autouse=True)
def a_model(torchserve: FakeTorchServe) -> None:
    """The score is how often the query stands in the document; each word is a token."""

    def answer(value: dict[str, Any]) -> dict[str, Any]:
        document: str = value["parameters"]["document"]
        if "refuse" in document:
            raise Refuse(400, "The text is not to be read")
        most = value["parameters"].get("max_document_tokens")
        words = document.split()[:most]
        return {"score": float(words.count(value["text"])), "tokens": 1 + len(words)}

    torchserve.answer = answer


@pytest.fixture
async def official(client: Client) -> AsyncIterator[cohere.AsyncClientV2]:
    """Cohere's client of somebody who has no key for this server."""
    async with cohere.AsyncClientV2(api_key="none", base_url=str(client.make_url("/"))) as made:
        yield made


async def post(client: Client, **fields: Any) -> tuple[int, dict[str, Any]]:
    async with client.post("/v1/rerank", json=ASKED | fields) as response:
        return response.status, await response.json()


async def test_documents_are_ordered_and_their_tokens_counted(
    official: cohere.AsyncClientV2,
) -> None:
    answer = await official.rerank(**ASKED)
    assert [each.index for each in answer.results] == [2, 1, 0]
    assert [each.relevance_score for each in answer.results] == [2.0, 1.0, 0.0]
    assert answer.meta is not None
    assert answer.meta.tokens is not None
    assert answer.meta.tokens.input_tokens == 2 + 3 + 5


async def test_top_n_and_max_tokens_limit_the_ranking(
    official: cohere.AsyncClientV2,
) -> None:
    answer = await official.rerank(**ASKED, top_n=1, max_tokens_per_doc=2)
    assert [(each.index, each.relevance_score) for each in answer.results] == [(1, 1.0)]


async def test_coheres_first_api_has_the_same_answer(client: Client) -> None:
    async with cohere.AsyncClient(api_key="none", base_url=str(client.make_url("/"))) as first:
        documents = [{"text": text, "more": 1} for text in DOCUMENTS]
        answer = await first.rerank(
            model="rerank-v3.5", query="query", documents=documents, return_documents=True
        )
    assert [each.document.text for each in answer.results] == DOCUMENTS[::-1]


async def test_jinas_clients_find_usage_and_documents(client: Client) -> None:
    status, answer = await post(
        client, query={"text": "query"}, return_documents=True, model="tests/ranker"
    )
    assert status == 200
    assert answer["model"] == "tests/ranker"
    assert answer["usage"] == {"prompt_tokens": 10, "total_tokens": 10}
    assert answer["results"][0] == {
        "index": 2,
        "relevance_score": 2.0,
        "document": {"text": DOCUMENTS[2]},
    }
    _, without = await post(client)
    assert set(without["results"][0]) == {"index", "relevance_score"}


async def test_documents_alike_stay_in_their_order(client: Client) -> None:
    _, answer = await post(client, documents=["query"] * 5)
    assert [each["index"] for each in answer["results"]] == [0, 1, 2, 3, 4]


async def test_documents_share_jobs_and_arrive_unchanged(
    client: Client, torchserve: FakeTorchServe
) -> None:
    strange = ['"quoted" \\ text', "line\nbreak", "ü 🙂 \u2028", ""]
    await post(client, documents=strange)
    (job,) = torchserve.jobs
    assert [value["parameters"]["document"] for value in job] == strange
    assert {value["text"] for value in job} == {"query"}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"documents": []}, "documents: must not be empty"),
    ({"documents": "one"}, "documents: expected a list of texts or of objects with the field"),
    ({"documents": [1, 2]}, "documents: expected a list of texts"),
    ({"documents": [["one"]]}, "documents: expected a list of texts"),
    ({"documents": ["one", {"text": "two"}]}, "documents: a batch must be of one kind"),
    ({"documents": [{"title": "one"}]}, "documents: expected a list of texts"),
    ({"documents": [{"text": 1}]}, "documents: expected a list of texts"),
    ({"documents": ["x"] * 1025}, "documents: at most 1024 inputs in one request"),
    ({"documents": ["one", "refuse"]}, "documents: The text is not to be read"),
    ({"query": " "}, "query: must not be blank"),
    ({"query": ""}, "query: "),
    ({"query": {"title": "x"}}, "query: "),
    ({"top_n": 0}, "top_n: Expected `int` >= 1"),
    ({"max_tokens_per_doc": 0}, "max_tokens_per_doc: Expected `int` >= 1"),
    ({"model": "vectors"}, "model: vectors is not a ranking model"),
    ({"timeout": 1e6}, "timeout: must be at most 300 seconds"),
]


@pytest.mark.parametrize(("fields", "rule"), REFUSED)
async def test_an_unsupported_ranking_request_names_the_field(
    client: Client, fields: dict[str, Any], rule: str
) -> None:
    status, answer = await post(client, **fields)
    assert status == 400
    assert rule in answer["error"]["message"]
    assert answer["error"]["param"] == rule.partition(":")[0]


async def test_a_long_query_counts_with_each_document(start: StartSidecar) -> None:
    client = await start(catalog=MODELS, max_rerank_mb=0.01)
    assert (await post(client, query="q" * 1000, documents=["x"] * 9))[0] == 200
    status, answer = await post(client, query="q" * 1000, documents=["x"] * 11)
    assert status == 400
    assert "at most 0.01 MB, counting the query once for each" in answer["error"]["message"]


async def test_more_than_a_megabyte_of_documents_is_taken(
    official: cohere.AsyncClientV2,
) -> None:
    answer = await official.rerank(**ASKED | {"documents": ["word " * 4000] * 60})
    assert answer.meta is not None
    assert answer.meta.tokens is not None
    assert answer.meta.tokens.input_tokens == 60 * 4001


async def test_the_official_client_raises_its_own_exceptions(
    official: cohere.AsyncClientV2, client: Client
) -> None:
    with pytest.raises(cohere.NotFoundError):
        await official.rerank(**ASKED | {"model": "nobody"})
    with pytest.raises(cohere.BadRequestError) as refusal:
        await official.rerank(**ASKED | {"top_n": 0})
    assert refusal.value.body["error"]["param"] == "top_n"
    url = str(client.make_url("/"))
    async with cohere.AsyncClientV2(api_key="sk_wrong", base_url=url) as stranger:
        with pytest.raises(ApiError) as wrong:
            await stranger.rerank(**ASKED)
    assert wrong.value.status_code == 401


async def test_neither_query_nor_documents_are_logged(
    client: Client, caplog: pytest.LogCaptureFixture, torchserve: FakeTorchServe
) -> None:
    caplog.set_level("DEBUG")
    torchserve.refusals = [(503, "InternalServerException"), None]
    with pytest.raises(aiohttp.ClientError):
        (
            await client.post("/v1/rerank", json=ASKED | {"documents": ["my secret", "refuse"]})
        ).raise_for_status()
    assert "secret" not in caplog.text

"""A TorchServe for tests: a real HTTP server on a free port that behaves as the true one does.

`tests/integration/test_fake.py` runs the same checks against both.
"""

import asyncio
import itertools
import json
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from aiohttp import hdrs, web
from aiohttp.test_utils import TestServer
from aiohttp.typedefs import Handler

from handler_kit.job import MAGIC
from sidecar.scheduling.job_format import VERSION

INFERENCE_KEY = "inference-key"
MANAGEMENT_KEY = "management-key"

Answer = Callable[[Any], Any]
Respond = Callable[[web.Request, bytes], Awaitable[web.StreamResponse]]


class Refuse(Exception):
    """Raised by an answer function: the item fails with *status* and *rule*, about *field*."""

    def __init__(self, status: int, rule: str, field: str | None = None) -> None:
        super().__init__(rule)
        self.status = status
        self.error = rule if field is None else f"{field}: {rule}"
        self.field = field
        self.rule = rule


class Spoken:
    """An answer that is not JSON: samples at 24 kHz, s16le, with the facts *told* about them."""

    def __init__(self, pcm: bytes, told: dict[str, Any] | None = None) -> None:
        self.pcm = pcm
        self.told = told or {}


class Told:
    """A value for an answer, and the parameters of the reply that are *told* with it."""

    def __init__(self, value: Any, told: dict[str, Any]) -> None:
        self.value = value
        self.told = told


class Unspoken:
    """A script for an answer: the parts that are to be asked for one by one."""

    def __init__(self, parts: list[Any], told: dict[str, Any] | None = None) -> None:
        self.parts = parts
        self.told = told or {}


class Turn(NamedTuple):
    """What a completion has after a turn: the texts of its tokens, before it and new in it."""

    before: list[str]
    new: list[str]
    finish_reason: str | None
    prompt_tokens: int = 5

    def answer(self) -> dict[str, Any]:
        return {
            "text": "".join([*self.before, *self.new]),
            "tokens": [len(self.before) + place for place in range(len(self.new))],
            "prompt_tokens": self.prompt_tokens,
            "finish_reason": self.finish_reason,
        }


Write = Callable[[dict[str, Any], dict[str, Any]], Turn]
TURN_TOKENS = 3


def count_tokens(order: dict[str, Any], state: dict[str, Any]) -> Turn:
    """Write ` 0 1 2 …`, the choice before each number, a few tokens a turn."""
    begun = len(state["written"])
    most = order.get("max_tokens") or order["cap"]
    end = min(begun + TURN_TOKENS, most)
    text = [f" {state['choice']}.{place}" for place in range(end)]
    return Turn(text[:begun], text[begun:], "length" if end == most else None)


async def echo(request: web.Request, body: bytes) -> web.StreamResponse:
    """Answer as a handler that gives back what it is given."""
    return web.Response(body=body, content_type=request.content_type)


def _frame(turns: dict[str, Turn], step: int) -> bytes:
    """What leaves when each completion has its token number *step* of the turn."""
    pieces: list[Any] = []
    for name, turn in turns.items():
        if step < len(turn.new):
            at = len("".join([*turn.before, *turn.new[:step]]))
            last = step == len(turn.new) - 1 and turn.finish_reason is not None
            pieces.append([name, at, turn.new[step], turn.answer() if last else None])
    data = msgspec.json.encode(pieces)
    return b"\x00PCE" + len(data).to_bytes(4, "big") + data


class JobAnswer(web.Response):
    """The answer to a job."""


async def write_head(_: web.Request, response: web.StreamResponse) -> None:
    """Give the answer to a job the head that TorchServe writes, in its order."""
    if isinstance(response, JobAnswer):
        headers = response.headers
        length = headers[hdrs.CONTENT_LENGTH]
        headers.clear()
        headers["content-type"] = "application/octet-stream"
        headers["x-request-id"] = str(uuid.uuid4())
        headers["Pragma"] = "no-cache"
        headers["Cache-Control"] = "no-cache; no-store, must-revalidate, private"
        headers["Expires"] = "Thu, 01 Jan 1970 00:00:00 UTC"
        headers["content-length"] = length
        headers["connection"] = "keep-alive" if response.keep_alive else "close"


class FakeTorchServe:
    """Its three APIs on one port.  *answer* makes each item's result from its input."""

    def __init__(self, folder: Path, answer: Answer = lambda value: value) -> None:
        self.folder = folder
        self.answer = answer
        self.write: Write = count_tokens  # of completions: an order, and how far it has come
        self.paced: asyncio.Semaphore | None = None  # each step of a turn takes one of it
        self.cut_off = 0  # steps after which the next turn loses its worker
        self.jobs: list[list[Any]] = []  # the inputs of each job, in the order of arrival
        self.items: list[list[dict[str, Any]]] = []  # of each job, as its header has them
        self.respond: Respond = echo  # of a handler that reads no jobs
        self.requests: list[web.Request] = []  # that it had
        self.busy = 0  # of these, how many now
        self.most_busy = 0
        self.models: dict[str, dict[str, Any]] = {}
        self.archives = {"echo.mar", "other.mar"}
        self.described: dict[str, Any] = {"device": "cpu", "precision": "fp32"}  # by a handler
        self.forward_ms = 5.0  # that handlers say a job took
        self.memory: dict[str, Any] | None = None  # what workers tell of theirs, with every job
        self.workers_status = "READY"
        self.ready_at_most = 100  # workers of a model; the others die as they load
        self.versions: dict[str, str] = {}  # of archives; those not here are 1.0
        self.others: dict[str, dict[str, dict[str, Any]]] = {}  # versions beside the default
        self.answered: list[tuple[str, str]] = []  # name and version of each job and request
        self.refuses_defaults = False
        self.broken: set[str] = set()  # archives whose workers do not start
        # Archives that ask for workers themselves, which die; each is called then.
        self.dies_at_registration: dict[str, Callable[[], object]] = {}
        self.slow: set[str] = set()  # archives whose workers never become READY, and do not die
        self.scalings: list[tuple[str, int]] = []
        self.refusals: list[tuple[int, str] | None] = []  # what the next jobs get, None: an answer
        self.wrong_bytes: bytes | None = None
        self.inference_key = INFERENCE_KEY
        self.away = False  # it hangs up on everybody
        self.dropped: list[str] = []  # models whose READY workers were ended while they held a job
        self.pings = 0
        self.unhealthy = False  # a model, whosever it is, has fewer workers than it should have
        self.most_connections = 0  # at the same time, as seen when a request comes
        self._gate = asyncio.Event()
        self._gate.set()
        self._pids = itertools.count(4_000_000)
        self._server = TestServer(self._app())

    async def start(self) -> None:
        await self._server.start_server()
        self.write_keys()

    async def stop(self) -> None:
        self.release()
        await self._server.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def key_file(self) -> Path:
        return self.folder / "key_file.json"

    def write_keys(self) -> None:
        keys = {
            "management": {"key": MANAGEMENT_KEY, "expiration time": "2999"},
            "inference": {"key": self.inference_key, "expiration time": "2999"},
            "API": {"key": "api-key"},
        }
        self.key_file.write_text(json.dumps(keys))

    def hold(self) -> None:
        """Accept jobs, answer none, until `release`."""
        self._gate.clear()

    def release(self) -> None:
        self._gate.set()

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=2**30, middlewares=[self._unless_away])
        app.on_response_prepare.append(write_head)
        app.router.add_get("/ping", self._ping)
        for api in ("predictions", "explanations"):
            app.router.add_post(f"/{api}/{{model}}", self._predict)
            app.router.add_post(f"/{api}/{{model}}/{{version}}", self._predict)
            app.router.add_post(f"/{api}/{{model}}/{{version}}/{{rest:.+}}", self._predict)
        app.router.add_post("/models/{model}/invoke", self._predict)
        app.router.add_post("/v2/models/{model}/infer", self._predict)
        app.router.add_post("/invocations", self._predict)
        app.router.add_post("/models", self._register)
        app.router.add_get("/models/{model}", self._describe)
        app.router.add_get("/models/{model}/all", self._describe_all)
        app.router.add_get("/models/{model}/{version}", self._describe)
        app.router.add_put("/models/{model}", self._scale)
        app.router.add_put("/models/{model}/{version}", self._scale)
        app.router.add_put("/models/{model}/{version}/set-default", self._set_default)
        app.router.add_delete("/models/{model}/{version}", self._unregister)
        app.router.add_delete("/models/{model}", self._unregister)
        app.router.add_get("/metrics", self._metrics)
        return app

    @web.middleware
    async def _unless_away(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self.away and request.transport is not None:
            request.transport.close()
        return await handler(request)

    async def _ping(self, request: web.Request) -> web.Response:
        self.pings += 1
        runner = self._server.runner
        assert runner is not None
        assert runner.server is not None
        self.most_connections = max(self.most_connections, len(runner.server.connections))
        return self._refused(request, self.inference_key) or web.json_response(
            {"status": "Unhealthy"} if self.unhealthy else {"status": "Healthy"},
            status=500 if self.unhealthy else 200,
        )

    async def _predict(self, request: web.Request) -> web.StreamResponse:
        if refused := self._refused(request, self.inference_key):
            return refused
        body = await request.read()
        named = request.match_info.get("model") or request.query["model_name"]
        answering = self._version(named, request.match_info.get("version"))
        if answering is None:
            what = "ModelVersion" if named in self.models else "Model"
            return error(404, f"{what}NotFoundException", "It is not there")
        self.answered.append((named, answering["modelVersion"]))
        if body[:4] != MAGIC:
            return await self._respond(request, body)
        items, values = _read_job(body)
        self.jobs.append(values)
        self.items.append(items)
        model, job = self.models[request.match_info["model"]], object()
        model["atWork"].add(job)
        try:
            await self._gate.wait()
        finally:
            model["atWork"].discard(job)
        refusal = self.refusals.pop(0) if self.refusals else None
        if refusal is not None:
            return error(*refusal, "Worker died.")
        response: web.StreamResponse
        worker = next(iter(model["pids"]), 1)
        version = answering["modelVersion"]
        if self.wrong_bytes is not None:
            response = web.Response(body=self.wrong_bytes)
        elif all(item.get("type") == "completion" for item in items):
            response = await self._write_turn(request, items, values)
        else:
            response = JobAnswer(body=self._answer(items, values, worker, version))
        return response

    async def _write_turn(
        self, request: web.Request, items: list[dict[str, Any]], orders: list[Any]
    ) -> web.StreamResponse:
        """Send each step's tokens, and behind them the answer to the job."""
        turns = [self._turn(order, item) for item, order in zip(items, orders, strict=True)]
        written = {
            item["id"]: turn
            for item, turn in zip(items, turns, strict=True)
            if isinstance(turn, Turn)
        }
        response = web.StreamResponse()
        await response.prepare(request)
        for step in range(max((len(turn.new) for turn in written.values()), default=0)):
            if self.paced is not None:
                await self.paced.acquire()
            if self.cut_off and step == self.cut_off:
                self.cut_off = 0
                assert request.transport is not None
                request.transport.close()
                return response
            await response.write(_frame(written, step))
        await response.write(self._answer(items, turns, 1, "1.0"))
        return response

    def _turn(self, order: dict[str, Any], item: dict[str, Any]) -> "Turn | Refuse":
        try:
            return self.write(order, item["parameters"])
        except Refuse as exc:
            return exc

    async def _respond(self, request: web.Request, body: bytes) -> web.StreamResponse:
        self.requests.append(request)
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        try:
            await self._gate.wait()
            return await self.respond(request, body)
        finally:
            self.busy -= 1

    def _answer(
        self, items: list[dict[str, Any]], values: list[Any], worker: int, version: str
    ) -> bytes:
        headers, bodies = [], []
        for item, value in zip(items, values, strict=True):
            header = {"id": item["id"], "status": 200, "forward_pass": len(items)}
            try:
                if isinstance(value, Refuse):
                    raise value
                answer = value if isinstance(value, Turn) else self.answer(value)
                if isinstance(answer, Spoken):
                    body = answer.pcm
                    header |= {"type": "pcm", "parameters": {"sample_rate": 24000} | answer.told}
                elif isinstance(answer, Turn):
                    body = msgspec.json.encode(answer.answer())
                elif isinstance(answer, Unspoken):
                    body = msgspec.json.encode(answer.parts)
                    header |= {"parameters": {"unspoken": True} | answer.told}
                elif isinstance(answer, Told):
                    body = msgspec.json.encode(answer.value)
                    header |= {"parameters": answer.told}
                else:
                    body = msgspec.json.encode(answer)
            except Refuse as exc:
                header |= {"status": exc.status, "error": exc.error}
                if exc.field is not None:
                    header |= {"field": exc.field, "rule": exc.rule}
                body = b""
            headers.append(header | {"length": len(body)})
            bodies.append(body)
        job = {
            "version": VERSION,
            "items": headers,
            "device": "cpu",
            "precision": "fp32",
            "worker": worker,
            "model_version": version,
            "timings": {"decode_ms": 0.1, "forward_ms": self.forward_ms, "encode_ms": 0.1},
        }
        if self.memory is not None:
            job["memory"] = self.memory
        header_bytes = msgspec.json.encode(job)
        return MAGIC + len(header_bytes).to_bytes(4, "big") + header_bytes + b"".join(bodies)

    async def _register(self, request: web.Request) -> web.Response:
        if refused := self._refused(request, MANAGEMENT_KEY):
            return refused
        query = request.query
        if query["url"] not in self.archives:
            return error(404, "ModelNotFoundException", f"Model not found at: {query['url']}")
        name, version = query["model_name"], self.versions.get(query["url"], "1.0")
        others = self.others.setdefault(name, {})
        if name in self.models and version in (self.models[name]["modelVersion"], *others):
            return error(409, "ConflictStatusException", "already registered")
        assert query["initial_workers"] == "0"  # more would be waited for in an event loop
        if (died_of := self.dies_at_registration.get(query["url"])) is not None:
            died_of()
            return error(500, "InternalServerException", "Failed to start workers")
        model = {
            "modelName": name,
            "modelVersion": version,
            "minWorkers": 0,
            "maxWorkers": 0,
            "batchSize": int(query["batch_size"]),
            "pids": [],
            "atWork": set(),
        }
        if query["url"] in self.slow:
            model["workersStatus"] = "LOADING"
        if query["url"] in self.broken:
            model["readyAtMost"] = 0
        (others if name in self.models else self.models)[
            version if name in self.models else name
        ] = model
        return web.json_response({"status": "registered"})

    async def _describe(self, request: web.Request) -> web.Response:
        if refused := self._refused(request, MANAGEMENT_KEY):
            return refused
        model = self._find(request)
        if model is None:
            return error(404, "ModelNotFoundException", "Model not found")
        shown = self._shown(model)
        if request.query.get("customized") == "true":
            worker = next(iter(model["pids"]), 0)
            shown["customizedMetadata"] = json.dumps(self.described | {"worker": worker})
        return web.json_response([shown])

    def _find(self, request: web.Request) -> dict[str, Any] | None:
        return self._version(request.match_info["model"], request.match_info.get("version"))

    def _version(self, name: str, version: str | None) -> dict[str, Any] | None:
        """The default version, or the one that is named."""
        model = self.models.get(name)
        if model is None or version in (None, model["modelVersion"]):
            return model
        return self.others.get(name, {}).get(version or "")

    def _shown(self, model: dict[str, Any]) -> dict[str, Any]:
        status = model.get("workersStatus", self.workers_status)
        pids, most = model["pids"], model.get("readyAtMost", self.ready_at_most)
        pids[most:] = [next(self._pids) for _ in pids[most:]]  # they are started again and again
        workers = [
            {
                "id": str(9000 + index),
                "status": status if index < most else "UNLOADING",
                "pid": pid,
                "memoryUsage": 0,
            }
            for index, pid in enumerate(pids)
        ]
        shown = {key: value for key, value in model.items() if key not in ("pids", "atWork")}
        return shown | {"workers": workers}

    async def _describe_all(self, request: web.Request) -> web.Response:
        if refused := self._refused(request, MANAGEMENT_KEY):
            return refused
        name = request.match_info["model"]
        if name not in self.models:
            return error(404, "ModelNotFoundException", "Model not found")
        found = [self.models[name], *self.others.get(name, {}).values()]
        return web.json_response([self._shown(model) for model in found])

    async def _set_default(self, request: web.Request) -> web.Response:
        if refused := self._refused(request, MANAGEMENT_KEY):
            return refused
        if self.refuses_defaults:
            return error(500, "InternalServerException", "not now")
        name, version = request.match_info["model"], request.match_info["version"]
        before, others = self.models[name], self.others[name]
        if version != before["modelVersion"]:
            self.models[name] = others.pop(version)
            others[before["modelVersion"]] = before
        return web.json_response({"status": "default set"})

    async def _scale(self, request: web.Request) -> web.Response:
        if refused := self._refused(request, MANAGEMENT_KEY):
            return refused
        model = self._find(request)
        if model is None:
            return error(404, "ModelNotFoundException", "Model not found")
        assert request.query["synchronous"] == "false"
        least, most = (int(request.query[name]) for name in ("min_worker", "max_worker"))
        if least < len(model["pids"]):
            self._end_workers(model)
        model |= {"minWorkers": least, "maxWorkers": most}
        model["pids"] = (model["pids"] + [next(self._pids) for _ in range(least)])[:least]
        self.scalings.append((request.match_info["model"], least))
        return web.json_response({"status": "scaled"})

    async def _unregister(self, request: web.Request) -> web.Response:
        if refused := self._refused(request, MANAGEMENT_KEY):
            return refused
        name = request.match_info["model"]
        others = self.others.get(name, {})
        version = request.match_info.get("version")
        if version is not None and others.pop(version, None) is not None:
            return web.json_response({"status": "unregistered"})
        if others:
            return error(403, "InvalidModelVersionException", "Can't remove default version")
        if name not in self.models:
            return error(404, "ModelNotFoundException", "Model not found")
        self._end_workers(self.models.pop(name))
        return web.json_response({"status": "unregistered"})

    def _end_workers(self, model: dict[str, Any]) -> None:
        if model["atWork"] and model.get("workersStatus", self.workers_status) == "READY":
            self.dropped.append(model["modelName"])

    async def _metrics(self, _: web.Request) -> web.Response:
        lines = [
            f'ts_inference_requests_total{{model_name="{name}",model_version="1.0",'
            f'hostname="here",}} {len(self.jobs)}.0'
            for name in self.models
        ]
        return web.Response(text="\n".join([*lines, ""]))

    @staticmethod
    def _refused(request: web.Request, key: str) -> web.Response | None:
        if request.headers.get("Authorization") == f"Bearer {key}":
            return None
        return error(400, "InvalidKeyException", "Token Authorization failed.")


READ: dict[str, Callable[[bytes], Any]] = {  # an item's body, by its type
    "json": msgspec.json.decode,
    "completion": msgspec.json.decode,
    "pcm": bytes,
    "script": bytes.decode,
    "text": bytes.decode,
}


def _read_job(body: bytes) -> tuple[list[dict[str, Any]], list[Any]]:
    assert body[:4] == MAGIC
    length = int.from_bytes(body[4:8], "big")
    items = json.loads(body[8 : 8 + length])["items"]
    values, start = [], 8 + length
    for item in items:
        content = body[start : start + item["length"]]
        values.append(READ[item.get("type", "json")](content))
        start += item["length"]
    assert start == len(body)
    return items, values


def error(status: int, kind: str, message: str) -> web.Response:
    """Return an error as TorchServe words it."""
    return web.json_response({"code": status, "type": kind, "message": message}, status=status)

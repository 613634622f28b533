"""The protocol over gRPC, as Triton's own client asks for it."""

import asyncio
import datetime as dt
import gc
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from tritonclient.grpc import InferInput, InferRequestedOutput, service_pb2, service_pb2_grpc
from tritonclient.grpc.aio import InferenceServerClient

from sidecar.app import create_app, create_runner
from sidecar.rpc import open_inference_pb2
from sidecar.settings import Settings, SettingsError
from tests.fake_torchserve import FakeTorchServe, Refuse, Spoken
from tests.integration.server import ROOT, free_port
from tests.integration.tokens import bearer
from tests.otlp_receiver import OtlpReceiver, attributes
from tests.sidecar.conftest import SECRET, Client, StartSidecar
from tests.sidecar.open_inference.test_infer import DTYPES, FLOATS, WHOLE, the_program
from tests.sidecar.telemetry.test_tracing import PARENT, TRACE, TRACEPARENT
from tests.sidecar.test_lifecycle import leave
from tests.waiting import LIMIT_SECONDS, until, until_awaited

Calls = service_pb2_grpc.GRPCInferenceServiceStub


class RunningCalls:
    """A sidecar that serves gRPC, and clients of it."""

    def __init__(self, client: Client, port: int) -> None:
        self.client = client
        self.address = f"127.0.0.1:{port}"
        self.triton = InferenceServerClient(self.address)
        self.channel = grpc.aio.insecure_channel(self.address)
        self.stub = Calls(self.channel)


Start = Callable[..., Awaitable[RunningCalls]]


@pytest.fixture(autouse=True)
def _collect_channels() -> Iterator[None]:
    """Let grpc end here: collected later, its last channel would block another test's loop."""
    yield
    gc.collect()


@pytest.fixture
async def start_calls(start_models: StartSidecar) -> AsyncIterator[Start]:
    started: list[RunningCalls] = []

    async def start_calls(**settings: Any) -> RunningCalls:
        port = free_port()
        running = RunningCalls(await start_models(grpc_port=port, **settings), port)
        started.append(running)
        return running

    yield start_calls
    for running in started:
        await running.triton.close()
        await running.channel.close()


@pytest.fixture
async def running(start_calls: Start) -> RunningCalls:
    return await start_calls()


def tensor(name: str, values: Any, datatype: str) -> InferInput:
    array = np.array(values, np.object_ if datatype == "BYTES" else DTYPES[datatype])
    made = InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array)
    return made


def of_contents(
    datatype: str, shape: Sequence[int], model: str = "numbers", **contents: Any
) -> service_pb2.ModelInferRequest:
    """A request whose elements come by their type, as other clients send them."""
    given = service_pb2.ModelInferRequest.InferInputTensor(
        name="input",
        datatype=datatype,
        shape=shape,
        contents=service_pb2.InferTensorContents(**contents),
    )
    return service_pb2.ModelInferRequest(model_name=model, inputs=[given])


async def refused(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details() or ""


async def test_health_and_metadata_are_those_of_http(running: RunningCalls) -> None:
    triton = running.triton
    assert await triton.is_server_live()
    assert await triton.is_server_ready()
    assert await triton.is_model_ready("numbers", "1.0")
    assert not await triton.is_model_ready("other")
    assert (await triton.get_server_metadata()).name == "torchserve-sidecar"
    facts = await triton.get_model_metadata("numbers", as_json=True)
    over_http = await (await running.client.get("/v2/models/numbers")).json()
    assert facts["platform"] == over_http["platform"]
    assert [facts["inputs"][0]["name"], facts["inputs"][0]["shape"]] == ["input", ["-1", "3"]]
    code, sentence = await refused(
        running.stub.ModelReady(service_pb2.ModelReadyRequest(name="nobody"))
    )
    assert (code, "nobody" in sentence) == (grpc.StatusCode.NOT_FOUND, True)
    the_program(running.client).draining.set()
    assert not await triton.is_server_ready()


async def test_raw_tensors_of_every_type_come_back_raw(
    running: RunningCalls, torchserve: FakeTorchServe
) -> None:
    rows = [[1, 0, 1], [0, 1, 0]]
    for datatype in FLOATS + WHOLE:
        result = await running.triton.infer(
            "numbers",
            [tensor("input", rows, datatype)],
            outputs=[InferRequestedOutput("output")],
            request_id="mine",
        )
        assert result.as_numpy("output").tolist() == rows
        response = result.get_response()
        assert (response.id, response.model_version) == ("mine", "1.0")
        assert torchserve.jobs.pop() == rows
    torchserve.answer = lambda _: Spoken(bytes(4800))
    spoken = await running.triton.infer("voice", [tensor("text", ["Hello."], "BYTES")])
    assert spoken.as_numpy("audio")[0].startswith(b"RIFF")
    assert spoken.as_numpy("sample_rate").tolist() == [24000]


async def test_elements_by_their_type_come_back_so(running: RunningCalls) -> None:
    asked: dict[str, dict[str, Any]] = {
        "BOOL": {"bool_contents": [True, False, True]},
        "INT8": {"int_contents": [1, 0, 1]},
        "INT16": {"int_contents": [1, 0, 1]},
        "INT32": {"int_contents": [1, 0, 1]},
        "INT64": {"int64_contents": [1, 0, 1]},
        "UINT8": {"uint_contents": [1, 0, 1]},
        "UINT16": {"uint_contents": [1, 0, 1]},
        "UINT32": {"uint_contents": [1, 0, 1]},
        "UINT64": {"uint64_contents": [1, 0, 1]},
        "FP32": {"fp32_contents": [1, 0, 1]},
        "FP64": {"fp64_contents": [1, 0, 1]},
    }
    for datatype, contents in asked.items():
        answer = await running.stub.ModelInfer(of_contents(datatype, [1, 3], **contents))
        assert list(answer.outputs[0].contents.fp32_contents) == [1, 0, 1]
        assert not answer.raw_output_contents


async def test_an_invalid_request_is_an_invalid_argument_that_names_the_field(
    running: RunningCalls,
) -> None:
    three: dict[str, Any] = {"fp32_contents": [1, 2, 3]}
    both = of_contents("FP32", [1, 3], **three)
    both.raw_input_contents.append(bytes(12))
    two_raw = of_contents("FP32", [1, 3])
    two_raw.raw_input_contents.extend([bytes(12)] * 2)
    shared = of_contents("FP32", [1, 3], **three)
    shared.inputs[0].parameters["shared_memory_region"].string_param = "a"
    urgent = of_contents("FP32", [1, 3], **three)
    urgent.parameters["priority"].int64_param = 11
    valueless = of_contents("FP32", [1, 3], **three)
    valueless.parameters["priority"].SetInParent()
    elsewhere = of_contents("FP32", [1, 3], **three)
    elsewhere.outputs.add(name="x")
    wrong = {
        "inputs[0].datatype: expected one of": of_contents("FP8", [1, 3]),
        "inputs[0].contents.fp32_contents: expected 3 elements, got 2": of_contents(
            "FP32", [1, 3], fp32_contents=[1, 2]
        ),
        "inputs[0].contents.fp32_contents: expected 3 elements, got 0": of_contents(
            "FP32", [1, 3], int_contents=[1, 2, 3]
        ),
        "inputs[0].contents.int_contents: expected elements of INT8": of_contents(
            "INT8", [1, 3], int_contents=[1, 300, 3]
        ),
        "inputs[0]: FP16 is accepted only in raw_input_contents": of_contents("FP16", [1, 3]),
        "inputs[0].shape: expected dimensions of at least 1": of_contents("FP32", [-1, 3], **three),
        "inputs[0].shape: expected [-1, 3], got []": of_contents("FP32", [], **three),
        "inputs[0].contents: cannot be combined with raw_input_contents": both,
        "raw_input_contents: expected 1, one for each input; got 2": two_raw,
        "inputs[0].parameters.shared_memory_region: is not supported": shared,
        "parameters.priority: expected a whole number from 0 to 10": urgent,
        "parameters.priority: expected a whole number": valueless,
        "outputs[0].name: expected 'output'": elsewhere,
        "inputs: expected 1 to 16 tensors": service_pb2.ModelInferRequest(model_name="numbers"),
    }
    for sentence, request in wrong.items():
        code, details = await refused(running.stub.ModelInfer(request))
        assert sentence in details
        assert code is grpc.StatusCode.INVALID_ARGUMENT
    raw: Any = running.channel.stream_stream("/inference.GRPCInferenceService/ModelInfer")
    code, details = await refused(anext(aiter(raw(iter([b"\xff\xff"])))))
    assert (code, "expected a message" in details) == (grpc.StatusCode.INVALID_ARGUMENT, True)
    code, details = await refused(anext(aiter(raw(iter([])))))
    assert (code, "expected a message" in details) == (grpc.StatusCode.INVALID_ARGUMENT, True)


async def test_a_refusal_is_short_however_long_what_it_quotes(running: RunningCalls) -> None:
    """Clients take some kilobytes of trailers, and then tell of these instead of the refusal."""
    code, details = await refused(
        running.stub.ModelMetadata(service_pb2.ModelMetadataRequest(name="ж" * 2**15))
    )
    assert (code, len(details) < 1000) == (grpc.StatusCode.NOT_FOUND, True)
    for request in (
        of_contents("F" * 2**15, [1, 3]),
        of_contents("FP32", [1] * 2**15, fp32_contents=[1]),
    ):
        code, details = await refused(running.stub.ModelInfer(request))
        assert (code, len(details) < 1000) == (grpc.StatusCode.INVALID_ARGUMENT, True)


async def test_every_refusal_has_its_status(start_calls: Start, torchserve: FakeTorchServe) -> None:
    running = await start_calls(max_body_mb=1.0, rate_limit_requests_per_second=100)
    numbers = of_contents("FP32", [1, 3], fp32_contents=[1, 2, 3])
    huge = of_contents("INT8", [1, 2**20])
    huge.raw_input_contents.append(bytes(2**20 + 1))
    many = of_contents("INT8", [1, 5_000_001], "echo", int_contents=[1])
    slow = service_pb2.ModelInferRequest()
    slow.CopyFrom(numbers)
    slow.parameters["timeout"].int64_param = 50_000
    code, _ = await refused(running.stub.ModelInfer(service_pb2.ModelInferRequest(model_name="x")))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    nobody = of_contents("FP32", [1, 3], "nobody")
    assert (await refused(running.stub.ModelInfer(nobody)))[0] is grpc.StatusCode.NOT_FOUND
    assert (await refused(running.stub.ModelInfer(huge)))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (await refused(running.stub.ModelInfer(many)))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    torchserve.hold()
    code, details = await refused(running.stub.ModelInfer(slow))
    assert (code, "within 0.05 s" in details) == (grpc.StatusCode.DEADLINE_EXCEEDED, True)
    torchserve.release()

    def refuse(_: Any) -> None:
        raise Refuse(400, "is too bad")

    torchserve.answer = refuse
    code, details = await refused(running.stub.ModelInfer(numbers))
    assert (code, "input[0]: is too bad" in details) == (grpc.StatusCode.INVALID_ARGUMENT, True)
    the_program(running.client).draining.set()
    code, _ = await refused(running.stub.ModelInfer(numbers))
    assert code is grpc.StatusCode.UNAVAILABLE


async def test_work_ends_when_the_deadline_of_a_call_has_passed(
    running: RunningCalls, torchserve: FakeTorchServe
) -> None:
    program = the_program(running.client)
    torchserve.hold()
    code, _ = await refused(
        running.stub.ModelInfer(of_contents("FP32", [1, 3], fp32_contents=[1, 2, 3]), timeout=0.1)
    )
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    await until(lambda: not program.calls and not program.statistics.active)


async def test_the_credentials_are_those_of_http(start_calls: Start) -> None:
    running = await start_calls(require_authentication=True)
    stub, ready = running.stub, service_pb2.ServerReadyRequest()
    infer = of_contents("FP32", [1, 3], fp32_contents=[1, 2, 3])
    load = service_pb2.RepositoryModelLoadRequest(model_name="other")
    unload = service_pb2.RepositoryModelUnloadRequest(model_name="other")

    def of(scope: str) -> list[tuple[str, str]]:
        return [("authorization", bearer(scope, SECRET)["Authorization"])]

    assert (await stub.ServerReady(ready)).ready
    for call in (stub.ModelInfer(infer), stub.RepositoryModelLoad(load)):
        assert (await refused(call))[0] is grpc.StatusCode.UNAUTHENTICATED
    wrong = [("authorization", "Bearer x")]
    assert (await refused(stub.ModelInfer(infer, metadata=wrong)))[0] is (
        grpc.StatusCode.UNAUTHENTICATED
    )
    await stub.ModelInfer(infer, metadata=of("stats"))
    code, _ = await refused(stub.RepositoryModelLoad(load, metadata=of("stats")))
    assert code is grpc.StatusCode.PERMISSION_DENIED
    await stub.RepositoryModelLoad(load, metadata=of("admin"))
    assert await running.triton.is_model_ready("other")
    index = await stub.RepositoryIndex(
        service_pb2.RepositoryIndexRequest(ready=True), metadata=of("stats")
    )
    assert "other" in {model.name for model in index.models}
    await stub.RepositoryModelUnload(unload, metadata=of("admin"))
    assert not await running.triton.is_model_ready("other")


async def test_an_unauthenticated_call_is_refused_before_its_message_is_read(
    start_calls: Start,
) -> None:
    """The message never comes, and the answer does."""
    running = await start_calls(require_authentication=True)
    call: Any = running.channel.stream_unary("/inference.GRPCInferenceService/ModelInfer")()
    async with asyncio.timeout(LIMIT_SECONDS):
        assert await call.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_message_that_does_not_come_is_not_waited_for_long(start_calls: Start) -> None:
    running = await start_calls(body_idle_timeout_seconds=0.1)
    call: Any = running.channel.stream_unary("/inference.GRPCInferenceService/ModelInfer")()
    async with asyncio.timeout(LIMIT_SECONDS):
        assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_message_that_is_compressed_is_refused(running: RunningCalls) -> None:
    """gRPC would inflate all of it, and a kilobyte may be a gigabyte."""
    asked = of_contents("FP32", [1, 3], fp32_contents=[1, 2, 3])
    call = running.stub.ModelInfer(asked, compression=grpc.Compression.Gzip)
    assert (await refused(call))[0] is grpc.StatusCode.UNIMPLEMENTED


async def test_limits_statistics_and_metrics_count_calls(start_calls: Start) -> None:
    running = await start_calls(rate_limit_requests_per_second=0.001, rate_limit_burst=2)
    asked = of_contents("FP32", [1, 3], fp32_contents=[1, 2, 3])
    await running.stub.ModelInfer(asked)
    await running.stub.ModelInfer(asked)
    code, _ = await refused(running.stub.ModelInfer(asked))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert the_program(running.client).statistics.finished == 3
    metrics = await (await running.client.get("/metrics")).text()
    route = 'route="/inference.GRPCInferenceService/ModelInfer"'
    assert f'sidecar_requests_total{{{route},status="200"}} 2.0' in metrics
    assert f'sidecar_requests_total{{{route},status="429"}} 1.0' in metrics


async def test_a_call_that_its_client_cancels_is_counted_as_abandoned(
    start_calls: Start, torchserve: FakeTorchServe
) -> None:
    running = await start_calls()
    torchserve.hold()
    call = running.stub.ModelInfer(of_contents("FP32", [1, 3], fp32_contents=[1, 2, 3]))
    await until(lambda: bool(torchserve.jobs))
    call.cancel()
    counted = 'abandoned_total{route="/inference.GRPCInferenceService/ModelInfer"} 1.0'

    async def is_counted() -> bool:
        return counted in await (await running.client.get("/metrics")).text()

    await until_awaited(is_counted)
    torchserve.release()


async def test_the_id_of_a_call_is_the_clients_or_a_new_one(running: RunningCalls) -> None:
    live = service_pb2.ServerLiveRequest()
    for given in ("my-id", None):
        call = running.stub.ServerLive(live, metadata=given and [("x-request-id", given)])
        metadata = await call.initial_metadata()
        assert metadata["x-request-id"] == given or (given is None and metadata["x-request-id"])
        assert (await call).live


async def test_a_call_is_a_span_in_the_clients_trace(
    start_calls: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")  # ms: spans leave at once
    receiver = OtlpReceiver()
    await receiver.start()
    running = await start_calls(otlp_endpoint=receiver.url)
    asked = of_contents("FP32", [1, 3], fp32_contents=[1, 2, 3])
    name = "inference.GRPCInferenceService/ModelInfer"
    await running.stub.ModelInfer(asked, metadata=[("traceparent", TRACEPARENT)])
    asked.model_name = "nobody"
    await refused(running.stub.ModelInfer(asked))
    await until(lambda: len(receiver.named(name)) == 2 and bool(receiver.named("job")))
    good, bad = receiver.named(name)
    assert good.trace_id.hex() == receiver.named("job")[0].trace_id.hex() == TRACE
    assert good.parent_span_id.hex() == PARENT
    assert attributes(good.attributes) == {
        "rpc.system": "grpc",
        "rpc.service": "inference.GRPCInferenceService",
        "rpc.method": "ModelInfer",
        "rpc.grpc.status_code": 0,
    }
    assert attributes(bad.attributes)["rpc.grpc.status_code"] == 5  # NOT_FOUND
    await running.client.close()
    await receiver.stop()


async def test_a_drain_answers_the_calls_that_it_finds(
    start_calls: Start, torchserve: FakeTorchServe
) -> None:
    running = await start_calls(drain_seconds=20.0)
    torchserve.hold()
    asked = of_contents("FP32", [1, 3], fp32_contents=[1, 2, 3])
    call = running.stub.ModelInfer(asked)
    await until(lambda: bool(torchserve.jobs))
    leaving = asyncio.create_task(leave(running.client))
    await until(the_program(running.client).draining.is_set)
    code, details = await refused(running.stub.ModelInfer(asked))
    assert (code, "shutting down" in details) == (grpc.StatusCode.UNAVAILABLE, True)
    torchserve.release()
    assert list((await call).outputs[0].contents.fp32_contents) == [1, 2, 3]
    await leaving


async def test_an_unknown_method_is_unimplemented(running: RunningCalls) -> None:
    code, _ = await refused(
        running.stub.ModelStatistics(service_pb2.ModelStatisticsRequest(name="numbers"))
    )
    assert code is grpc.StatusCode.UNIMPLEMENTED


async def test_with_a_certificate_calls_are_encrypted(
    start_models: StartSidecar, tmp_path: Path
) -> None:
    certificate, key = self_signed(tmp_path)
    settings = with_tls(certificate, key)
    port = settings["grpc_port"]
    await start_models(environment="production", **settings)
    roots = certificate.read_bytes()
    credentials = grpc.ssl_channel_credentials(roots)
    async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
        assert (await Calls(channel).ServerLive(service_pb2.ServerLiveRequest())).live
    async with grpc.aio.insecure_channel(f"localhost:{port}") as channel:
        code, _ = await refused(Calls(channel).ServerLive(service_pb2.ServerLiveRequest()))
        assert code is grpc.StatusCode.UNAVAILABLE


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate of localhost and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "server.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "server.key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return folder / "server.pem", folder / "server.key"


async def test_a_taken_port_or_a_wrong_certificate_stops_the_start_with_a_sentence(
    running: RunningCalls, tmp_path: Path
) -> None:
    (tmp_path / "models.json").write_text('{"models": {}}')
    wrong, nothing = tmp_path / "wrong", tmp_path / "nothing"
    wrong.write_text("no certificate")
    taken: dict[str, Any] = {"grpc_port": int(running.address.rpartition(":")[2])}
    for sentence, settings in {
        "SIDECAR_GRPC_PORT": taken,
        "SIDECAR_GRPC_CERTIFICATE_FILE": with_tls(wrong, wrong),
        "nothing: No such file": with_tls(nothing, wrong),
    }.items():
        folders: dict[str, Any] = {
            "models_file": tmp_path / "models.json",
            "state_dir": tmp_path / "other",
        }
        runner = create_runner(await create_app(Settings(**folders, **settings)))
        with pytest.raises(SettingsError, match=sentence):
            await runner.setup()
        await runner.cleanup()


def with_tls(certificate: Path, key: Path) -> dict[str, Any]:
    return {
        "grpc_port": free_port(),
        "grpc_certificate_file": certificate,
        "grpc_key_file": key,
    }


def test_grpc_is_off_by_default_and_in_production_it_needs_tls_or_credentials() -> None:
    assert Settings().grpc_port is None
    assert Settings(grpc_port=8001).grpc_port == 8001
    production: dict[str, Any] = {"environment": "production", "grpc_port": 8001}
    with pytest.raises(ValueError, match=r"SIDECAR_GRPC_PORT: in production gRPC needs TLS"):
        Settings(**production)
    assert Settings(**production, require_authentication=True).grpc_port
    files: dict[str, Any] = {"grpc_certificate_file": Path("a"), "grpc_key_file": Path("b")}
    assert Settings(**production, **files).grpc_port
    with pytest.raises(ValueError, match="must be set together"):
        Settings(grpc_port=8001, grpc_key_file=Path("b"))


async def test_the_generated_messages_match_the_definition(tmp_path: Path) -> None:
    done = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "grpc_tools.protoc", f"--proto_path={ROOT}"),
        *(f"--python_out={tmp_path}", f"--pyi_out={tmp_path}"),
        "sidecar/rpc/open_inference.proto",
        cwd=ROOT,
    )
    assert await done.wait() == 0
    for path in (tmp_path / "sidecar" / "rpc").iterdir():
        assert path.read_text() == (ROOT / "sidecar" / "rpc" / path.name).read_text()


def test_the_messages_are_the_protocols_own() -> None:
    """Names, numbers and types of the fields are those of Triton's client."""

    def fields(descriptor: Any) -> dict[str, Any]:
        return {
            field.name: (field.number, field.type, field.message_type and field.message_type.name)
            for field in descriptor.fields
        } | {nested.name: fields(nested) for nested in descriptor.nested_types}

    ours, theirs = open_inference_pb2.DESCRIPTOR, service_pb2.DESCRIPTOR
    assert len(ours.message_types_by_name) > 20
    for name, message in ours.message_types_by_name.items():
        assert fields(message) == fields(theirs.message_types_by_name[name])

"""The gRPC server: its listening port, TLS, limits and shutdown."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from sidecar.rpc.call import SERVICE, CallHandlers, CallParts
from sidecar.rpc.methods import OpenInferenceService, ServiceParts
from sidecar.settings import MB, Settings, SettingsError

LAST_SECONDS = 1.0  # for answers that are still being sent when the server stops
# No compression: gRPC would inflate a whole message before its size can be checked.
IDENTITY_ONLY = 1
_UNLIMITED = -1


@asynccontextmanager
async def serving_calls(
    settings: Settings, calls: CallParts, service: ServiceParts
) -> AsyncIterator[int]:
    """Serve calls until the block ends.  Yield the port.

    Raises SettingsError if the port is taken, or the certificate or its key cannot be used.
    """
    made = CallHandlers(calls)
    methods = OpenInferenceService(service).methods
    handlers = {method.name: made.handler_of(method) for method in methods}
    server = grpc.aio.server(
        options=[
            ("grpc.so_reuseport", 0),  # a second server on this port must fail, not share it
            ("grpc.max_receive_message_length", int(settings.max_body_mb * MB)),
            ("grpc.max_send_message_length", _UNLIMITED),
            ("grpc.compression_enabled_algorithms_bitset", IDENTITY_ONLY),
            ("grpc.server_handshake_timeout_ms", _ms(settings.header_timeout_seconds)),
            ("grpc.max_connection_idle_ms", _ms(settings.keep_alive_seconds)),
        ],
        maximum_concurrent_rpcs=settings.max_connections,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = await _listen(server, settings)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(LAST_SECONDS)


async def _listen(server: grpc.aio.Server, settings: Settings) -> int:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"{host}:{settings.grpc_port}"
    try:
        if settings.grpc_certificate_file is None or settings.grpc_key_file is None:
            return server.add_insecure_port(address)
        certificate = await asyncio.to_thread(_read, settings.grpc_certificate_file)
        key = await asyncio.to_thread(_read, settings.grpc_key_file)
        credentials = grpc.ssl_server_credentials([(key, certificate)])
        return server.add_secure_port(address, credentials)
    except RuntimeError as exc:
        raise SettingsError(
            f"cannot serve gRPC on {address}: another program may use the port, or the certificate "
            "and the key do not match; see SIDECAR_GRPC_PORT and SIDECAR_GRPC_CERTIFICATE_FILE"
        ) from exc


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise SettingsError(f"{path}: {exc.strerror}") from exc

"""`python -m sidecar`: runs the program, and is the only place that exits."""

import argparse
import ctypes
import functools
import gc
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import uvloop

from sidecar.access.private_files import make_private
from sidecar.announcement import announce
from sidecar.app import create_app, create_management_app, create_runner
from sidecar.catalog.entries import CatalogError
from sidecar.configuration import check_configuration, explain_configuration, take_over_config
from sidecar.lifecycle import StopSignals, drain
from sidecar.program import PROGRAM, Program
from sidecar.settings import Settings, SettingsError, load_effective
from sidecar.state_folder import StateFolderTaken, own_state_folder
from sidecar.telemetry.gpus import Gpus
from sidecar.telemetry.logs import open_logs
from sidecar.telemetry.visible_gpus import UnusableGpuName
from sidecar.torchserve.java import JavaNotFound, find_java_home
from sidecar.torchserve.process import TorchServeProcess, end_leftovers
from sidecar.web.acceptor import BACKLOG, Acceptor, raise_descriptor_limit

PRIVATE = 0o077
M_MMAP_THRESHOLD = -3  # its number in malloc.h
LARGE_BLOCK_BYTES = 4 << 20


# What `torchserve` takes besides: these change nothing here, so that its command lines work.
LEFT_OUT = {
    "--start": "the server starts without it, and stays in the foreground",
    "--foreground": "the server always stays in the foreground",
    "--ncs": "no snapshots are written",
    "--no-config-snapshots": "no snapshots are written",
    "--disable-token-auth": "clients need no token, unless SIDECAR_REQUIRE_AUTHENTICATION=true",
    "--enable-model-api": "SIDECAR_TORCHSERVE_MANAGEMENT_PORT opens the management API",
}
REFUSED = {
    "--stop": "Ctrl-C, or SIGTERM to its process, stops the server",
    "--log-config": "SIDECAR_LOG_LEVEL and SIDECAR_LOG_FORMAT say how to log",
    "--cpp-log-config": "there are no workers in C++",
    "--workflow-store": "there are no workflows",
    "--plugins-path": "there are no plugins",
}


class PortTaken(RuntimeError):
    """Another program already listens on this port."""


CANNOT_START = (
    SettingsError,
    CatalogError,
    JavaNotFound,
    UnusableGpuName,
    PortTaken,
    StateFolderTaken,
    OSError,
)


def main(arguments: Sequence[str]) -> int:
    """Run until a signal ends the program; return 0, or 2 with a sentence when it cannot start."""
    os.umask(PRIVATE)
    raise_descriptor_limit()
    options = _options(arguments)
    only_check, ts_config = options.pop("check_config"), options.pop("ts_config")
    given = _torchserve_properties(options.pop("model_store"), options.pop("models"))
    told: list[str] = []  # of what is only checked: it is read at the end, behind the settings
    try:
        effective = load_effective(overrides=options)
        if ts_config is not None or given:
            effective = take_over_config(
                effective,
                ts_config,
                told.append if only_check else print,
                keep=not only_check,
                given=given,
            )
        settings = effective.settings
        if only_check:
            check_configuration(settings)
            print(explain_configuration(effective), *told, sep="\n")  # noqa: T201
            return 0
        address = f"{settings.host}:{settings.port}"
        with own_state_folder(settings.state_dir, address):
            make_private(settings.state_dir, leave=(settings.api_keys, settings.secret_file))
            with open_logs(settings):
                uvloop.run(serve(settings))
    except CANNOT_START as exc:
        print(f"sidecar: {exc}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


def _options(arguments: Sequence[str]) -> dict[str, Any]:
    """Return the options by their names; say which of TorchServe's are left out.

    Exits with a sentence when one is unknown, or is TorchServe's alone.
    """
    parser = _parser()
    known, others = parser.parse_known_args(arguments)
    for name in (each.partition("=")[0] for each in others):
        if name in REFUSED:
            parser.error(f"{name}: {REFUSED[name]}")
    if unknown := [each for each in others if each not in LEFT_OUT]:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    for name in others:
        print(f"command line: {name}: left out: {LEFT_OUT[name]}")  # noqa: T201
    return vars(known)


def _torchserve_properties(store: str | None, models: Sequence[str] | None) -> dict[str, str]:
    """Return what TorchServe's options of these names say, as keys of its config.properties."""
    given = {} if store is None else {"model_store": store}
    return given if models is None else {**given, "load_models": ",".join(models)}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sidecar", description="An API for TorchServe.")
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (default 8000)")
    parser.add_argument(
        "--torchserve",
        choices=["managed", "external"],
        help="run TorchServe too, or find one that runs (default external)",
    )
    parser.add_argument(
        "--ts-config",
        type=Path,
        metavar="FILE",
        help="a config.properties file of TorchServe's; its models and limits are taken over",
    )
    parser.add_argument(
        "--model-store", metavar="FOLDER", help="the archives, as TorchServe's option of this name"
    )
    parser.add_argument(
        "--models",
        nargs="+",
        metavar="[NAME=]ARCHIVE",
        help="what to load at the start, as TorchServe's option of this name; or all, or none",
    )
    parser.add_argument("--config", metavar="FILE", help="settings in TOML (or SIDECAR_CONFIG)")
    parser.add_argument(
        "--check-config", action="store_true", help="print the settings in force, and exit"
    )
    return parser


async def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM.  Raises PortTaken."""
    process: TorchServeProcess | None = None
    signals = StopSignals(lambda: process.kill() if process else None)
    signals.listen()
    listener = _bind(settings.host, settings.port, "--port")
    management = None
    if (port := settings.torchserve_management_port) is not None:
        management = _bind(settings.host, port, "SIDECAR_TORCHSERVE_MANAGEMENT_PORT")
    if settings.torchserve == "managed":
        end_leftovers(settings.state_dir)
        process = TorchServeProcess(settings, find_java_home(), Gpus().visible_indices())
    try:
        app = await create_app(settings, process)
    except (SettingsError, CatalogError):
        if process is not None:
            await process.stop()
        raise
    runner = create_runner(app)
    try:
        await runner.setup()
        acceptor = Acceptor(listener, runner.connections, settings.max_connections)
        acceptor.start()
        _calm_garbage_collector()
        _give_back_large_blocks()
        program = app[PROGRAM]
        announcing = functools.partial(announce, program, functools.partial(print, flush=True))
        async with (
            _serving_management(program, management),
            program.background.running("announce", announcing),
        ):
            await signals.asked.wait()
        # While it still listens: new requests and /readyz hear of it.
        await drain(program, runner.connections, acceptor.stop, signals.at_once)
    finally:
        await runner.cleanup()
        logging.getLogger(__name__).info("stopped")


@asynccontextmanager
async def _serving_management(
    program: Program, listener: socket.socket | None
) -> AsyncIterator[None]:
    """Serve TorchServe's management API on *listener*, where there is one, until the block ends."""
    if listener is None:
        yield
        return
    runner = create_runner(create_management_app(program))
    await runner.setup()
    acceptor = Acceptor(listener, runner.connections, program.settings.max_connections)
    acceptor.start()
    try:
        yield
    finally:
        await acceptor.stop()
        await runner.cleanup()


def _calm_garbage_collector() -> None:
    """Run the garbage collector rarely, and exempt from it everything that exists by now.

    These objects live as long as the program, and requests leave few cycles behind.  Measured: a
    third of the processor time of a request went into collections.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _give_back_large_blocks() -> None:
    """Have glibc map each large block by itself, so that freeing it returns its memory at once.

    By itself glibc raises that limit to 32 MB as it sees large blocks freed, and the gaps that
    growing bodies leave behind stay taken.  Measured: 57 MB more for a body of 60 MB.
    """
    with suppress(AttributeError, OSError):  # another C library has no such setting
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)


def _bind(host: str, port: int, setting: str) -> socket.socket:
    """Return a listening socket; *setting* chooses its port.

    Raises PortTaken, before anything else is started.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as exc:
        raise PortTaken(
            f"cannot listen on {host}:{port} ({exc.strerror or exc}); "
            f"another program may use it: choose one with {setting}"
        ) from exc
    return listener


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

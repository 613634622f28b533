"""The process that workers are forked from: `template.py SOCKET WORKER_PROGRAM MODULE…`.

It imports the modules, which is most of the time that a worker takes to start, and nothing of an
archive.  It has one thread and no GPU, since neither survives a fork; where an import has changed
that, it ends with the code UNFIT.  It lives until its standard input is closed.
"""

import fcntl
import gc
import importlib
import logging
import marshal
import os
import re
import runpy
import selectors
import signal
import socket
import struct
import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, NoReturn

log = logging.getLogger("template")

WORKER = runpy.run_path(str(Path(__file__).with_name("worker.py")))
UNFIT = 3
# What Java and the shell add for a worker; all else a library may have read when it was imported.
WORKERS_VARIABLES = re.compile(r"PYTHONPATH|TS_\w+|PWD|OLDPWD|SHLVL|_")
BUILD_FILE = "build.json"  # only archives of our own building have one
REQUIREMENTS = "requirements.txt"
GPU_DEVICES = ("/dev/nvidia", "/dev/kfd", "/dev/dri/")
READ_SECONDS = 2.0
MAX_REQUEST_BYTES = 4 << 20
DESCRIPTORS = 4  # standard input, output and error, and the tie to the launcher
STATUS_BYTES = 4


class Request(NamedTuple):
    """What a launcher asks for: *tie* is a pipe that closes when the launcher ends."""

    arguments: list[str]
    environment: dict[str, str]
    folder: str
    streams: list[int]
    tie: int


class Child(NamedTuple):
    """A worker that was forked, and the launcher that waits for it."""

    pid: int
    launcher: socket.socket


def main(address: str, program: str, *modules: str) -> None:
    """Import *modules*, then fork workers that run *program*."""
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    name_process("worker-template")
    environment = dict(os.environ)
    del sys.path[0]  # this folder: a worker's own comes in its place
    import_all(modules)
    WORKER["import_changes"]()
    stop_pooled_threads()
    gc.collect()
    gc.freeze()  # so that a worker's collections leave these objects' pages shared
    if (reason := why_unfit()) is not None:
        log.error("cannot fork workers: %s", reason)
        sys.exit(UNFIT)
    with socket.socket(socket.AF_UNIX) as listener:
        Path(address).unlink(missing_ok=True)
        listener.bind(address)
        listener.listen()
        log.info("ready: %d modules", len(sys.modules))
        request = serve(listener, program, environment)
    become(request)


def name_process(name: str) -> None:
    """Show *name* in ps and top, which otherwise show the same for template and workers."""
    Path("/proc/self/comm").write_text(name)


def import_all(names: Collection[str]) -> None:
    """Import the modules; one that is not installed is left out."""
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as exc:
            log.warning("%s is left out: %s", name, exc)


def stop_pooled_threads() -> None:
    """End the threads that OpenBLAS starts when NumPy is imported; it does so before any fork."""
    if (pid := os.fork()) == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def why_unfit() -> str | None:
    """Return why this process must not be forked; None: it may."""
    if (threads := len(list(Path("/proc/self/task").iterdir()))) > 1:
        return f"an import has left {threads - 1} threads running"
    if (device := opened_file(GPU_DEVICES)) is not None:
        return f"an import has opened {device}"
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (OSError, AttributeError) as exc:
        return f"this system does not tell of the end of processes: {exc}"
    return None


def opened_file(prefixes: tuple[str, ...]) -> str | None:
    """Return a file that this process has opened and that begins with one of *prefixes*."""
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            if (path := str(descriptor.readlink())).startswith(prefixes):
                return path
    return None


def serve(listener: socket.socket, program: str, environment: Mapping[str, str]) -> Request:
    """Fork a worker whenever a launcher asks.  Returns only in workers: what was asked for."""
    selector = selectors.DefaultSelector()
    selector.register(sys.stdin, selectors.EVENT_READ)
    selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is sys.stdin:
                sys.exit(0)
            if key.fileobj is not listener:
                selector.unregister(key.fileobj)
                report_end(key.fd, key.data)
                continue
            launcher, _ = listener.accept()
            request = read_request(launcher)
            pid = None
            if request is not None:
                pid = fork_for(request, program, environment)
                if pid == 0:
                    forget(selector, launcher)
                    return request
                close_all([*request.streams, request.tie])
            if pid is None:
                launcher.close()
            else:
                watch(selector, Child(pid, launcher))


def fork_for(request: Request, program: str, environment: Mapping[str, str]) -> int | None:
    """Fork, and return as `os.fork` does; None, with a line in the log: no worker is forked."""
    try:
        reason = why_unfit() or why_declined(request, program, environment)
        if reason is None:
            return os.fork()
    except OSError as exc:  # the folder is gone, or there is no memory
        reason = str(exc)
    log.info("%s: not forked: %s", request.folder, reason)
    return None


def read_request(launcher: socket.socket) -> Request | None:
    """Read what a launcher of this user asks for; None: it has broken off, or is another's."""
    launcher.settimeout(READ_SECONDS)
    descriptors: list[int] = []
    try:
        if user_of(launcher) != os.geteuid():
            return None
        head, descriptors, _, _ = socket.recv_fds(launcher, 4, DESCRIPTORS)
        length = int.from_bytes(head, "big")
        if len(descriptors) == DESCRIPTORS and length <= MAX_REQUEST_BYTES:
            with launcher.makefile("rb") as file:
                arguments, environment, folder = marshal.loads(file.read(length))  # noqa: S302 - of this user
            *streams, tie = descriptors
            return Request(arguments, environment, folder, streams, tie)
    except (OSError, EOFError, ValueError, TypeError) as exc:
        log.warning("a launcher's request cannot be read: %s", exc)
    close_all(descriptors)
    return None


def user_of(connection: socket.socket) -> int:
    """Return the user whose process is at the other end of *connection*."""
    credentials = struct.Struct("3i")  # process, user, group
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, credentials.size)
    user: int = credentials.unpack(found)[1]
    return user


def why_declined(request: Request, program: str, environment: Mapping[str, str]) -> str | None:
    """Return why a worker of this kind has to be started by Python itself; None: it has not."""
    if not request.arguments or request.arguments[0] != program:
        return "no worker is asked for"
    names = {entry.name for entry in Path(request.folder).iterdir()}
    if BUILD_FILE not in names:
        return "the archive is not one of our building"
    if REQUIREMENTS in names:
        return "the archive has packages of its own"
    imported = {name.partition(".")[0] for name in sys.modules}
    if doubles := imported & {name.partition(".")[0] for name in names}:
        return f"the archive has modules of its own named {', '.join(sorted(doubles))}"
    differing = {
        name
        for name in environment.keys() | request.environment.keys()
        if environment.get(name) != request.environment.get(name)
        and not WORKERS_VARIABLES.fullmatch(name)
    }
    if differing:
        return f"its environment differs in {', '.join(sorted(differing))}"
    return None


def forget(selector: selectors.BaseSelector, launcher: socket.socket) -> None:
    """Close, in a worker, what belongs to the template; standard input is replaced later."""
    launcher.close()
    for key in list(selector.get_map().values()):
        if isinstance(key.data, Child):
            key.data.launcher.close()
            os.close(key.fd)
    selector.close()


def watch(selector: selectors.BaseSelector, child: Child) -> None:
    """Tell the launcher of *child*, and notice its end."""
    descriptor = os.pidfd_open(child.pid)
    selector.register(descriptor, selectors.EVENT_READ, child)
    with suppress(OSError):  # a launcher that has ended takes the worker with it
        socket.send_fds(child.launcher, [b"!"], [descriptor])


def report_end(descriptor: int, child: Child) -> None:
    """Tell the launcher how its worker has ended."""
    _, status = os.waitpid(child.pid, 0)
    os.close(descriptor)
    with suppress(OSError), child.launcher:
        child.launcher.sendall(status.to_bytes(STATUS_BYTES, "big"))


def become(request: Request) -> NoReturn:
    """Run the worker's program in this process as Python would have run it."""
    for number, stream in enumerate(request.streams):
        os.dup2(stream, number)
    close_all(request.streams)
    name_process("forked-worker")
    die_with_launcher(request.tie)
    logging.getLogger().handlers.clear()  # the worker configures its own
    os.chdir(request.folder)
    os.environ.update(request.environment)
    sys.argv = request.arguments
    extra = request.environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [path for path in extra if path]
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()  # Python's own generator does so by itself
    code: object = 0
    try:
        WORKER["run"](sys.argv[0])
    except SystemExit as exc:
        code = exc.code
    sys.stdout.flush()
    sys.stderr.flush()
    # Not by the interpreter's own end: it would first copy each page that is still shared.
    os._exit(code if isinstance(code, int) else 1)


def die_with_launcher(tie: int) -> None:
    """Have the kernel kill this process when the other end of *tie* is closed.

    No thread could do so while an extension holds the interpreter's lock.
    """
    os.set_inheritable(tie, False)
    fcntl.fcntl(tie, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(tie, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(tie, fcntl.F_SETFL, fcntl.fcntl(tie, fcntl.F_GETFL) | os.O_ASYNC | os.O_NONBLOCK)
    with suppress(BlockingIOError):  # nothing is ever written: it can be read only once closed
        os.read(tie, 1)
        sys.exit(1)


def close_all(descriptors: Collection[int]) -> None:
    """Close the descriptors."""
    for descriptor in descriptors:
        os.close(descriptor)


if __name__ == "__main__":
    main(*sys.argv[1:])

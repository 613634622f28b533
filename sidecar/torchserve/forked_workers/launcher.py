"""Starts a worker for TorchServe: forked from the template, or by Python itself.

TorchServe starts, watches and kills this process as if it were the worker.  A forked worker dies
with it, even if it is killed, and it ends as the worker has ended.  Python takes its place where
the template is not there or declines, and for whatever else TorchServe runs by Python.
"""

import marshal
import os
import select
import signal
import socket
import sys
from contextlib import suppress

TYPE_CHECKING = False  # typing itself takes longer to import than all the rest
if TYPE_CHECKING:
    from typing import NoReturn

ANSWER_SECONDS = 5.0
STATUS_BYTES = 4
STANDARD_STREAMS = (0, 1, 2)
PASSED_ON = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


class Worker:
    """A forked worker: the descriptor of its process, and the connection to its parent."""

    def __init__(self, process: int, template: socket.socket) -> None:
        self.process = process
        self.template = template


def main(arguments: list[str]) -> "NoReturn":
    """Run what TorchServe asks for."""
    worker = None
    if (address := os.environ.get("WORKER_TEMPLATE_SOCKET")) is not None:
        with suppress(OSError):
            worker = fork_worker(address, arguments)
    if worker is None:
        python = os.environ["WORKER_PYTHON"]
        os.execv(python, [python, *through_ours(arguments)])  # noqa: S606 - there is no shell
    with open("/proc/self/comm", "w") as name:  # what ps and top show
        name.write("worker-launcher")
    end_as(wait_for(worker))


def through_ours(arguments: list[str]) -> list[str]:
    """Return *arguments* of Python with our program before TorchServe's, if that is in them.

    It is not always the first: another program may start it.
    """
    ours = os.path.join(os.path.dirname(os.path.realpath(__file__)), "worker.py")
    for place, argument in enumerate(arguments):
        if argument.endswith("/ts/model_service_worker.py"):
            return [*arguments[:place], ours, *arguments[place:]]
    return arguments


def fork_worker(address: str, arguments: list[str]) -> Worker | None:
    """Ask the template for a worker; None: it declines.  Raises OSError where there is none.

    The worker gets one end of a pipe and dies when the other is closed, which is when this process
    ends.
    """
    template = socket.socket(socket.AF_UNIX)
    template.settimeout(ANSWER_SECONDS)
    template.connect(address)
    worker_end, our_end = os.pipe()
    asked = marshal.dumps((arguments, dict(os.environ), os.getcwd()))
    length = len(asked).to_bytes(4, "big")
    try:
        socket.send_fds(template, [length], [*STANDARD_STREAMS, worker_end])
        template.sendall(asked)
        _, descriptors, _, _ = socket.recv_fds(template, 1, 1)
    except OSError:
        os.close(our_end)
        raise
    finally:
        os.close(worker_end)
    if not descriptors:
        os.close(our_end)
        return None
    return Worker(descriptors[0], template)


def wait_for(worker: Worker) -> int:
    """Wait until *worker* ends and return its exit code, negative for a signal; 1: not known.

    Signals that this process gets are passed on.
    """

    def pass_on(number: int, _: object) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(worker.process, number)

    for number in PASSED_ON:
        signal.signal(number, pass_on)
    poll = select.poll()
    poll.register(worker.process, select.POLLIN)
    poll.poll()
    with suppress(OSError):
        if status := worker.template.recv(STATUS_BYTES):
            return os.waitstatus_to_exitcode(int.from_bytes(status, "big"))
    return 1


def end_as(code: int) -> "NoReturn":
    """End by the signal or the exit code that *code* stands for."""
    if code < 0:
        with suppress(OSError):  # SIGKILL has no handler
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    main(sys.argv[1:])

"""Starts TorchServe, and has the kernel end it together with the sidecar: `starter.py PYTHON …`.

A program, run by path and imported by nobody.  PYTHON is what TorchServe starts workers by; the
rest are the arguments of `torchserve`.  Standard input is a pipe whose other end the sidecar holds.
"""

import fcntl
import os
import runpy
import signal
import sys
from contextlib import suppress


def die_with_sidecar() -> bool:
    """Have the kernel kill this process group when the other end of standard input is closed.

    That is when the sidecar ends, even if it is killed and can do nothing itself.  Java, which
    inherits the pipe, and the workers are of this group.  Where the kernel cannot do this, which
    is on all systems but Linux, the next sidecar ends them.  Return False if it is closed already.
    """
    if sys.platform == "linux":
        tie = sys.stdin.fileno()
        with suppress(OSError):
            fcntl.fcntl(tie, fcntl.F_SETOWN, -os.getpgrp())  # negative: everyone in the group
            fcntl.fcntl(tie, fcntl.F_SETSIG, signal.SIGKILL)
            flags = fcntl.fcntl(tie, fcntl.F_GETFL)
            fcntl.fcntl(tie, fcntl.F_SETFL, flags | os.O_ASYNC | os.O_NONBLOCK)
            os.read(tie, 1)  # raises BlockingIOError while the other end is open
            return False
    return True


def main() -> int:
    """Run TorchServe until it ends, unless the sidecar has ended before."""
    if not die_with_sidecar():
        return 1
    sys.executable = sys.argv.pop(1)  # which `ts.model_server` tells Java to start workers by
    runpy.run_module("ts.model_server", run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main())

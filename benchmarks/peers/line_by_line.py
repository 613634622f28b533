"""How a peer's program is asked: one line of JSON in, one out.  Uses the standard library alone."""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any


def serve(work: Callable[[list[Any]], list[Any]]) -> None:
    """Answer lines until there are no more."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # libraries may print
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        inputs = json.loads(line)
        began = time.perf_counter()
        found = work(inputs)
        seconds = time.perf_counter() - began
        print(json.dumps({"seconds": seconds, "answers": found}), file=answers, flush=True)

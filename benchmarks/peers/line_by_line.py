"""How a peer's program is asked: one line of JSON in, one out.  Uses the standard library alone."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any


def serve(work: Callable[[list[Any]], Iterable[tuple[int, Any]]]) -> None:
    """Answer lines of inputs until there are no more.

    *work* yields each answer with the place of its input, as soon as it is there.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # libraries may print
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        inputs = json.loads(line)
        found: list[Any] = [None] * len(inputs)
        seconds = []
        began = time.perf_counter()
        for place, answer in work(inputs):
            found[place] = answer
            seconds.append(time.perf_counter() - began)
        print(json.dumps({"seconds": seconds, "answers": found}), file=answers, flush=True)

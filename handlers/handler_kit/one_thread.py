"""Work in steps too short to share goes on one thread."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread(*, only_if: bool = True) -> Iterator[None]:
    """One thread for what is done inside, if *only_if*; then as many as before.

    Measured on two cores with the decoder of Whisper tiny.en, and alike with hibari's network: a
    second thread gains a tenth to a quarter of the time, and makes it eight times slower when
    something else takes a core, since the threads wait for each other at each of many short steps.
    """
    threads = torch.get_num_threads()
    if threads == 1 or not only_if:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)

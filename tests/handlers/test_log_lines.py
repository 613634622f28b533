"""TorchServe reads a worker's output line by line: nobody who sends an input begins a line."""

import io
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_kit.log_lines import OneLineFormatter, printable, protect_output

JAVA_BREAKS = re.compile("\r\n|[\n\r\u2028\u2029\u0085]")  # java.util.Scanner.nextLine
FORGED = "[PID]1"
BREAKS = ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]


@contextmanager
def worker() -> Iterator[io.StringIO]:
    """A worker's logging as TorchServe sets it up; gives its standard output."""
    root = logging.getLogger()
    with redirect_stdout(io.StringIO()) as out:
        handler = logging.StreamHandler(out)
        handler.setFormatter(logging.Formatter("%(message)s"))
        root.addHandler(handler)
        try:
            protect_output()
            yield out
        finally:
            root.removeHandler(handler)
            logging.captureWarnings(capture=False)


@pytest.mark.parametrize("mark", BREAKS, ids=ascii)
def test_neither_a_message_nor_an_exception_begins_a_line(mark: str) -> None:
    sent = f"7{mark}{FORGED}"
    with worker() as out:
        logging.getLogger("tests").error("failed: %s", sent, exc_info=ValueError(sent))
    message, *traceback = [line for line in JAVA_BREAKS.split(out.getvalue()) if line]
    assert message.startswith("failed: 7")
    assert all(line.startswith("| ") for line in traceback)
    assert FORGED in traceback[-1]


def test_loggers_of_libraries_with_own_handlers_are_protected() -> None:
    library = logging.getLogger("tests.library")
    with worker(), redirect_stderr(io.StringIO()) as err:
        handler = logging.StreamHandler(err)
        library.addHandler(handler)
        protect_output()
        library.error("a\u2028%s", FORGED)
        library.removeHandler(handler)
    assert err.getvalue() == "a\\u2028[PID]1\n"


def test_a_long_message_is_cut() -> None:
    with worker() as out:
        logging.getLogger("tests").error("x" * 1_000_000)
    assert 4000 <= len(out.getvalue()) < 5000


def test_a_formatter_is_wrapped_once_however_often_it_is_protected() -> None:
    with worker() as out:
        protect_output()
        logging.getLogger("tests").error("a\nb")
    assert out.getvalue() == "a\\nb\n"


@given(st.text(st.characters()))
def test_any_text_is_one_line_that_can_be_encoded(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert shown.encode().decode() == shown


def test_torchserves_own_lines_stay_as_they_are() -> None:
    formatter = OneLineFormatter(logging.Formatter("%(message)s"))
    record = logging.LogRecord("x", logging.INFO, "", 0, "[PID]%d", (7,), None)
    assert formatter.format(record) == "[PID]7"

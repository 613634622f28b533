"""What a worker writes to its standard output, where TorchServe reads it line by line.

TorchServe takes some lines for its own: ``[PID]1`` changes what it believes to be the worker's
process.  It breaks lines at every separator that Java knows, among them U+0085 and U+2028.  So a
record is one line, whatever it quotes, and the lines of a traceback below it are marked.
"""

import logging
import sys

MAX_MESSAGE = 4000  # characters
MAX_TRACEBACK = 8000  # characters: the last ones, which hold the cause
MARK = "| "  # before each line of a traceback


class OneLineFormatter(logging.Formatter):
    """Formats as *inner* does, with all that is not printable escaped."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; its traceback, if there is one, follows in lines of its own."""
        bare = logging.makeLogRecord(vars(record))
        bare.exc_info = bare.exc_text = bare.stack_info = None
        lines = [printable(self._inner.format(bare))[:MAX_MESSAGE]]
        if record.exc_info:
            traceback = self.formatException(record.exc_info)[-MAX_TRACEBACK:]
            lines += [MARK + printable(line) for line in traceback.split("\n")]
        return "\n".join(lines)


def protect_output() -> None:
    """Make every logger that writes to standard output or standard error write safe lines.

    Warnings become log records.  Calling it again takes in the loggers that came since.
    """
    logging.captureWarnings(capture=True)
    known = [logging.getLogger(), *logging.root.manager.loggerDict.values()]
    for logger in known:
        for handler in getattr(logger, "handlers", ()):
            if _writes_out(handler) and not isinstance(handler.formatter, OneLineFormatter):
                handler.setFormatter(OneLineFormatter(handler.formatter or logging.Formatter()))


def printable(text: str) -> str:
    """Return *text* with every character escaped that is a control, a separator or none at all."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def _writes_out(handler: logging.Handler) -> bool:
    streams = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    return isinstance(handler, logging.StreamHandler) and handler.stream in streams

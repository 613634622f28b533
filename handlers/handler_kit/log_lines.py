"""What a worker writes to its standard output, which TorchServe parses line by line.

TorchServe interprets some lines: ``[PID]1`` sets what it takes for the worker's process id.  It
splits lines at every separator of Java, including U+0085 and U+2028.  Therefore a record is always
written as one line, and the lines of a traceback are marked.
"""

import logging
import sys

MAX_MESSAGE = 4000  # characters
MAX_TRACEBACK = 8000  # characters; the last ones are kept, as they contain the cause
MARK = "| "  # before each line of a traceback


class OneLineFormatter(logging.Formatter):
    """Formats like *inner*, and escapes characters that are not printable."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, followed by the lines of the traceback if there is one."""
        bare = logging.makeLogRecord(vars(record))
        bare.exc_info = bare.exc_text = bare.stack_info = None
        lines = [printable(self._inner.format(bare))[:MAX_MESSAGE]]
        if record.exc_info:
            traceback = self.formatException(record.exc_info)[-MAX_TRACEBACK:]
            lines += [MARK + printable(line) for line in traceback.split("\n")]
        return "\n".join(lines)


def protect_output() -> None:
    """Make every logger that writes to standard output or standard error write safe lines.

    Warnings become log records.  Call it again to include loggers created since the last call.
    """
    logging.captureWarnings(capture=True)
    known = [logging.getLogger(), *logging.root.manager.loggerDict.values()]
    for logger in known:
        for handler in getattr(logger, "handlers", ()):
            if _writes_out(handler) and not isinstance(handler.formatter, OneLineFormatter):
                handler.setFormatter(OneLineFormatter(handler.formatter or logging.Formatter()))


def printable(text: str) -> str:
    """Return *text* with control characters, separators and unassigned code points escaped."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def _writes_out(handler: logging.Handler) -> bool:
    streams = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    return isinstance(handler, logging.StreamHandler) and handler.stream in streams

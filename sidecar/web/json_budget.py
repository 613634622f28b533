"""How much structure a JSON body may have: what makes parsing it slow is not its bytes alone.

A parser takes a few nanoseconds for each value and each escape in a string, and cannot be
interrupted.  So these are counted, roughly and cheaply, while the body arrives: a body that would
take too long is refused before it is parsed, and before all of it is there.
"""

from sidecar.errors import PayloadTooLarge
from sidecar.settings import MB

SMALL_BYTES = MB  # parsed in a few milliseconds, whatever it holds
MAX_BLANKS = 1 << 23
_MARKS = b",[{\\"
_BLANKS = b" \t\r\n"


class JsonBudget:
    """Counts the values, the escapes and the white space of one body as it arrives.

    A comma or an opening bracket counts as a value wherever it stands, also within a string.
    """

    def __init__(self, max_values: int) -> None:
        self._max_values = max_values
        self._values = 0
        self._blanks = 0

    def count(self, piece: bytes | bytearray) -> None:
        """Count what *piece* holds.  Raises PayloadTooLarge when it is too much."""
        self._values += len(piece) - len(piece.translate(None, _MARKS))
        self._blanks += len(piece) - len(piece.translate(None, _BLANKS))
        if self._values > self._max_values:
            raise PayloadTooLarge(
                f"at most {self._max_values:,} JSON values and escapes", field="body"
            )
        if self._blanks > MAX_BLANKS:
            raise PayloadTooLarge(f"at most {MAX_BLANKS:,} bytes of white space", field="body")

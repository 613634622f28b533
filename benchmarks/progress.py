"""What is being done, for whoever waits."""

import sys
from datetime import datetime


def tell(what: str) -> None:
    """Write *what* with the time of day to the standard error."""
    print(f"{datetime.now():%H:%M:%S}  {what}", file=sys.stderr, flush=True)  # noqa: DTZ005

"""How urgent a request is."""

from typing import Annotated

from msgspec import Meta

_Whole = Annotated[float, Meta(ge=0, le=10, multiple_of=1)]  # 5.0: JSON knows one kind of number
Priority = Annotated[
    Annotated[int, Meta(ge=0, le=10)] | _Whole, Meta(description="0 to 10, higher goes first")
]

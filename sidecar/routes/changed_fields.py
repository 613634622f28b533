"""A frozen configuration, changed in some of its fields."""

from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

Configuration = TypeVar("Configuration", bound=msgspec.Struct)


def apply_patch(now: Configuration, patch: msgspec.Struct) -> tuple[Configuration, list[str]]:
    """Return *now* changed by *patch*, and which fields differ, as ``cooldowns.quiet_seconds``.

    *patch* has the same fields, each UNSET or a value; those that are structs, patches again.
    Fields that only *patch* has are ignored.
    """
    changes: dict[str, Any] = {}
    names: list[str] = []
    for field in now.__struct_fields__:
        if field not in patch.__struct_fields__:
            continue
        value, known = getattr(patch, field), getattr(now, field)
        if value is UNSET:
            continue
        if isinstance(value, msgspec.Struct):
            value, inner = apply_patch(known, value)
            names += [f"{field}.{name}" for name in inner]
        elif value != known:
            names.append(field)
        changes[field] = value
    return msgspec.structs.replace(now, **changes), names

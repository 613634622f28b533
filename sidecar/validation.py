"""What is wrong with data that does not fit its type, in words that help to correct it.

msgspec names the field and the rule; here the allowed values and the nearest names are added.
"""

import difflib
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect

Path = tuple[str | int, ...]  # the names and indices that lead to a value

MOST_CHARACTERS = 1000  # of a sentence of msgspec's that is taken apart: it may quote a client
LONGEST_NAME = 100  # characters; looking for names near a longer one would waste time
MANY = 12  # names; of more, only the nearest are told
_SENTENCE = re.compile(r"(?P<rule>.*?)(?: - at `(?:key` in `)?\$(?P<path>[^`]*)`)?", re.DOTALL)
_STEP = re.compile(r"\.(?P<name>\w+)|\[(?P<index>\d+)\]|(?P<unknown>\[\.\.\.\])")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>.*)`", re.DOTALL)
_ENUM = re.compile(r"Invalid enum value (?P<value>.*)", re.DOTALL)
_PATTERN = re.compile(r"Expected `str` matching regex .*", re.DOTALL)


class Misfit(NamedTuple):
    """One fault: the value it is about, as far as msgspec tells, and a sentence without a stop."""

    path: Path
    rule: str

    def __str__(self) -> str:
        return f"{shown_path(self.path)}: {self.rule}" if self.path else self.rule


def explain_misfit(exc: msgspec.ValidationError, kind: Any) -> Misfit:
    """Return what *exc* says of a value that should be a *kind*."""
    found = _SENTENCE.fullmatch(str(exc))
    assert found is not None
    path = _path(found["path"] or "")
    return Misfit(*_explain(found["rule"], path, _type_at(inspect.type_info(kind), path)))


def nearest_field(exc: msgspec.ValidationError, kind: Any) -> str:
    """Return `; did you mean …?` for a field that *kind* does not have, or nothing."""
    sentence = str(exc)
    found = _SENTENCE.fullmatch(sentence) if len(sentence) <= MOST_CHARACTERS else None
    unknown = found and _UNKNOWN.fullmatch(found["rule"])
    if not found or not unknown:
        return ""
    struct = _type_at(inspect.type_info(kind), _path(found["path"] or ""))
    return nearest(unknown["name"], _field_names(struct))


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean …?` for a mistyped *name*, or nothing when none of *known* is near."""
    if len(name) > LONGEST_NAME:
        return ""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return what `nearest` does, or else which names are *known*, unless they are many."""
    names = list(known)
    listed = f"; expected one of: {', '.join(names)}" if 0 < len(names) <= MANY else ""
    return nearest(name, names) or listed


def shown_path(path: Path) -> str:
    """Return *path* for people: `voices.anna.pitch`, `aliases[1]`."""
    parts = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in path]
    return "".join(parts).removeprefix(".")


def _path(text: str) -> Path:
    """Return the steps up to the first name that msgspec does not tell: that of a dict's key."""
    steps: list[str | int] = []
    for step in _STEP.finditer(text):
        if step["unknown"]:
            break
        steps.append(step["name"] or int(step["index"]))
    return tuple(steps)


def _explain(rule: str, path: Path, kind: inspect.Type | None) -> tuple[Path, str]:
    if (found := _UNKNOWN.fullmatch(rule)) is not None:
        near = suggestion(found["name"], _field_names(kind))
        return (*path, found["name"]), f"there is no such field{near}"
    if (found := _MISSING.fullmatch(rule)) is not None:
        return path, f"the field {found['name']} is missing"
    if (found := _ENUM.fullmatch(rule)) is not None:
        allowed = (
            [str(each) for each in kind.values] if isinstance(kind, inspect.LiteralType) else []
        )
        value = found["value"]
        near = nearest(value.strip("'"), allowed)
        return path, f"{value} is not allowed; expected one of: {', '.join(allowed)}{near}"
    if _PATTERN.fullmatch(rule) and (description := _description(kind)):
        return path, f"Expected {description}"
    if isinstance(kind, inspect.LiteralType):
        rule = f"{rule}; expected one of: {', '.join(map(str, kind.values))}"
    return path, rule


def _field_names(kind: inspect.Type | None) -> list[str]:
    fields = kind.fields if isinstance(kind, inspect.StructType) else ()
    return [field.encode_name for field in fields]


def _type_at(kind: inspect.Type | None, path: Path) -> inspect.Type | None:
    """Return the type of the value at *path*; None where it has none of its own."""
    for step in path:
        kind = _step_into(_plain(kind), step)
    return _plain(kind, keep_description=True)


def _plain(kind: inspect.Type | None, *, keep_description: bool = False) -> inspect.Type | None:
    """Return *kind* without its metadata, and without the null that it may be instead."""
    while isinstance(kind, inspect.Metadata | inspect.UnionType):
        if isinstance(kind, inspect.UnionType):
            others = [each for each in kind.types if not isinstance(each, inspect.NoneType)]
            kind = others[0] if len(others) == 1 else None
        elif keep_description and isinstance(kind.type, inspect.StrType):
            return kind
        else:
            kind = kind.type
    return kind


def _step_into(kind: inspect.Type | None, step: str | int) -> inspect.Type | None:
    if isinstance(kind, inspect.StructType):
        named = [field.type for field in kind.fields if field.encode_name == step]
        return named[0] if named else None
    if isinstance(kind, inspect.DictType):
        return kind.value_type
    if isinstance(kind, inspect.ListType | inspect.VarTupleType):
        return kind.item_type
    return None


def _description(kind: inspect.Type | None) -> str | None:
    if isinstance(kind, inspect.Metadata):
        return (kind.extra_json_schema or {}).get("description")
    return None

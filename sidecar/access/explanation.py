"""A credential in words, for people; never the credential itself."""

import math
import time
from datetime import UTC, datetime
from typing import Any

import jwt

from sidecar.access.api_keys import KeyRecord

UNITS = (("days", 86_400), ("hours", 3600), ("minutes", 60), ("seconds", 1))


def explain_key(record: KeyRecord) -> dict[str, str]:
    """Return what is known of an API key."""
    return {
        "subject": printable(record.name),
        "scopes": printable(" ".join(record.scopes)) or "none",
        "issued": moment(record.created_at),
        "expires": _expiry(record.expires_at),
    }


def explain_jwt(token: str) -> dict[str, str]:
    """Return what a JWT says about itself, verified or not; nothing when it cannot be read."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError):
        return {}
    lines = {
        "subject": printable(claims.get("sub")),
        "scopes": printable(claims.get("scope")) or "none",
        "issued": moment(claims.get("iat"), missing=""),
        "not before": moment(claims.get("nbf"), missing=""),
        "expires": _expiry(claims.get("exp")),
        "issuer": printable(claims.get("iss")),
        "audience": printable(claims.get("aud")),
    }
    return {name: text for name, text in lines.items() if text}


def printable(value: Any) -> str:
    """Return *value* without characters that move a terminal's cursor; empty for None."""
    text = "" if value is None else str(value)
    return "".join(character if character.isprintable() else "�" for character in text)


def moment(seconds: Any, *, missing: str = "never") -> str:
    """Return epoch seconds as a date and a time, or *missing* for None."""
    if seconds is None:
        return missing
    number = _finite(seconds)
    if number is None:
        return printable(seconds)
    try:
        return datetime.fromtimestamp(number, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{number:g} s after 1970"


def _expiry(seconds: Any) -> str:
    number = _finite(seconds)
    if number is None:
        return moment(seconds)
    left = number - time.time()
    unit, size = next((pair for pair in UNITS if abs(left) >= 2 * pair[1]), UNITS[-1])
    count = round(abs(left) / size)
    distance = f"in {count} {unit}" if left > 0 else f"{count} {unit} ago"
    return f"{moment(number)} ({distance})"


def _finite(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None

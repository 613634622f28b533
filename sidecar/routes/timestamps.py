"""The time of day, as answers give it."""

from datetime import UTC, datetime


def utc(epoch_seconds: float) -> str:
    """UTC to the second: ``2026-11-23T10:30:00Z``."""
    return datetime.fromtimestamp(epoch_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def now() -> str:
    """UTC to the second: ``2026-11-23T10:30:00Z``."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

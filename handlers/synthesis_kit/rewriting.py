"""Rules that rewrite text: what each finds, and what is said instead."""

import re
from collections.abc import Callable, Sequence

Rule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]

NUMBER = r"\d+(?:,\d{3})*(?:\.\d+)?"


def rule(
    pattern: str, said: str | Callable[[re.Match[str]], str], *, any_case: bool = False
) -> Rule:
    """*said* is a template as `re.sub` has it, or makes one of a match."""
    return re.compile(pattern, re.IGNORECASE if any_case else 0), said


def rewritten(text: str, rules: Sequence[Rule]) -> str:
    """*text* after all *rules*, in their order."""
    for pattern, said in rules:
        text = pattern.sub(said, text)
    return text


def spaced(digits: str) -> str:
    """*digits* so that each is said for itself."""
    return " ".join(digits)

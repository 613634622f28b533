"""Signs of mathematics between and before what they work on."""

import re

from english_kit.numerals import SIGNED, amount, cardinal
from english_kit.scanner import Reader, before, behind, reader

_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n", strict=True))
_LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True))
_RAISED_SET = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ"
_LOWERED_SET = "₀₁₂₃₄₅₆₇₈₉"
_COMPARED = {
    "===": "is identical to",
    "!==": "is not identical to",
    "==": "equals",
    "!=": "is not equal to",
    "<=": "is less than or equal to",
    ">=": "is greater than or equal to",
    "=>": "implies",
    "->": "to",
    "-->": "to",
    "→": "to",
    "⇒": "implies",
    "⇔": "if and only if",
    "<->": "to and from",
    "↔": "to and from",
    "=": "equals",
    "≠": "is not equal to",
    "≥": "at least",
    "≤": "at most",
    "<": "less than",
    ">": "greater than",
    "≈": "approximately equals",
    "≡": "is identical to",
    "+=": "plus equals",
    "-=": "minus equals",
    "*=": "times equals",
    "/=": "divided by equals",
    "&&": "and",
    "||": "or",
    "++": "plus plus",
    "+": "plus",
    "±": "plus or minus",
    "×": "times",
    "⋅": "times",
    "÷": "divided by",
    "**": "to the power of",
    "^": "to the power of",
    "∈": "is in",
    "∉": "is not in",
    "⊂": "is a subset of",
    "⊆": "is a subset of",
    "∪": "union",
    "∩": "intersection",
    "∧": "and",
    "∨": "or",
    "∝": "is proportional to",
    "∘": "composed with",
}
_PREFIXED = {
    "√": "the square root of",
    "∛": "the cube root of",
    "∜": "the fourth root of",
    "∑": "the sum of",
    "∏": "the product of",
    "∫": "the integral of",
    "∂": "partial",
    "∇": "nabla",
    "∀": "for all",
    "∃": "there exists",
    "∄": "there does not exist",
    "¬": "not",
    "∴": "therefore",
    "∵": "because",
}
_OPERAND_END = r"(?<=[\w)\]}²³⁰¹⁴⁵⁶⁷⁸⁹ⁿ%°'’√∞½⅓⅔¼¾!])"


def _prefixed(found: re.Match[str]) -> str:
    said = _PREFIXED[found[0]]
    return said.removesuffix(" of") if re.match(r"\s?of\b", behind(found, 5)) else said


def _power(found: re.Match[str]) -> str:
    exponent = "".join(_RAISED[each] for each in found[0])
    if exponent == "2":
        return "squared"
    if exponent == "3":
        return "cubed"
    if not exponent.lstrip("+-").isdecimal():
        return "to the power of " + " ".join(
            {"+": "plus", "-": "minus"}.get(each, each) for each in exponent
        )
    return f"to the power of {amount(exponent)}"


def _absolute(found: re.Match[str]) -> str:
    value = found[1]
    return "the absolute value of " + (value if value.isalpha() else amount(value))


def _caret(found: re.Match[str]) -> str:
    said = {"2": "squared", "3": "cubed"}.get(found[1])
    return said or f"to the power of {amount(found[1])}"


def _index(found: re.Match[str]) -> str:
    digits = "".join(_LOWERED[each] for each in found[0])
    return cardinal(int(digits))


def _minus(found: re.Match[str]) -> str:  # noqa: ARG001
    return "minus"


def _spaced_minus(found: re.Match[str]) -> str | None:
    """x² + 3x - 4: between short operands, with another sign of mathematics near."""
    ahead, after = before(found, 30), behind(found, 30)
    sides = re.search(r"(?:[\w.]{1,4}|\d+|[)\]²³∞])\s?$", ahead) and re.match(
        r"\s?(?:[\w.]{1,4}(?!\w)|\d+|[(\[√∞])", after
    )
    near = re.search(r"[=+^×÷²³√<>]", ahead) or re.match(r"[\s\w.()]{1,20}[=+^×÷²³√*/<>]", after)
    return "minus" if sides and near else None


def _star(found: re.Match[str]) -> str:  # noqa: ARG001
    return "times"


def _slash(found: re.Match[str]) -> str | None:
    """Between operands that are numbers or single letters it divides."""
    ahead = before(found, 40)
    word = re.search(r"(\w+|[)\]])\s?$", ahead)
    after = re.match(r"\s?(\w+|[(\[])", found.string[found.end() : found.end() + 40])
    if word is None or after is None:
        return None
    sides = (word[1], after[1])
    if all(len(each) == 1 or each.isdecimal() for each in sides) and (
        any(each.isdecimal() or each in "()[]" for each in sides) or " " in ahead[-1:]
    ):
        return "divided by"
    return None


def _about(found: re.Match[str]) -> str:  # noqa: ARG001
    return "about"


READERS: list[Reader] = [
    reader(r"\|([a-zA-Z]|[-−]?\d{1,9})\|", _absolute, "|"),
    reader(rf"[{_RAISED_SET}]{{1,20}}", _power, _RAISED_SET),
    reader(rf"[{_LOWERED_SET}]{{1,20}}", _index, _LOWERED_SET),
    reader(rf"(?<=[\w)\]])\s?(?:\^|\*\*)\s?\(?({SIGNED})\)?(?=\W|$)", _caret, "^*"),
    reader("[" + "".join(_PREFIXED) + "]", _prefixed, "".join(_PREFIXED)),
    reader(r"(?<![\d)])(?<![\d)] )(?<!\b[a-zπ] )(?<!\b[a-zπ])[~≈∼]\s?(?=[\d$€£])", _about, "~≈∼"),
    reader(
        rf"{_OPERAND_END}(?<=[\w)\]])[*·∗](?=[\w(√∞])|(?<=\) )[*·∗](?=\s[\w(])"
        r"|(?<=(?<!\w)\w )[*·∗](?=\s[\w(−√∞-])|(?<=\d )[*·∗](?=\s[\w(−√∞-])",
        _star,
        "*·∗",
    ),
    reader(
        "|".join(re.escape(each) for each in sorted(_COMPARED, key=len, reverse=True)),
        lambda found: _COMPARED[found[0]],
        "".join({each[0] for each in _COMPARED}),
    ),
    reader(r"[-−](?=[^\W\d_](?!\w))(?<![\w)\]][-−])(?<!\w [-−])", _minus, "-−"),
    reader(r"(?<=[\w)\]²³∞] )[-–](?=\s)", _spaced_minus, "-–"),
    reader(r"(?<=\b[A-F])[-−](?=[\s.,;:)]|$)", _minus, "-−"),  # the grade B-
    reader(r"(?<=\b[a-z])[-−](?=\d)|(?<=[)\]²³])[-−](?=[\w(])|[-−](?=[√∞πσ(])|−", _minus, "-−"),
    reader(r"/|∕|⁄", _slash, "/∕⁄"),
    reader("∞", "infinity", "∞"),
]

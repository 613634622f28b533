"""Signs of mathematics between and before what they work on."""

import re

from english_kit.numerals import SIGNED, amount, cardinal, ordinal
from english_kit.scanner import Reader, before, behind, reader

_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿˣʸⁱ", "0123456789+-nxyi", strict=True))
_LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₌ₐₑᵢⱼₖₘₙₒₚₓ", "0123456789+-=aeijkmnopx", strict=True))
_RAISED_SET = "".join(_RAISED)
_LOWERED_SET = "".join(_LOWERED)
_SIGN_NAMES = {"+": "plus", "-": "minus", "=": "equals"}
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
    "<-": "from",
    "::": "colon colon",
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
    if exponent.isdecimal() and not re.search(r"[\w)\]}²³]\s?$", before(found, 2)):
        return amount(exponent)  # an isotope: ¹⁴C
    if exponent == "2":
        return "squared"
    if exponent == "3":
        return "cubed"
    if exponent[-1] in "+-":
        return _parts(exponent)  # an ion: Fe²⁺
    if not exponent.lstrip("+-").isdecimal():
        return f"to the power of {_parts(exponent)}"
    return f"to the power of {amount(exponent)}"


def _parts(index: str) -> str:
    """Return what is raised or lowered in words, part by part."""
    return " ".join(
        _SIGN_NAMES.get(each) or (cardinal(int(each)) if each.isdecimal() else each)
        for each in re.findall(r"\d+|.", index)
    )


def _higher_root(found: re.Match[str]) -> str:
    """Read a root such as "³√8"."""
    number = int("".join(_RAISED[each] for each in found[1]))
    name = {2: "square", 3: "cube"}.get(number) or ordinal(number)
    return f"the {name} root of"


def _bounded(found: re.Match[str]) -> str:
    """Read a sign with its bounds, such as "∫₀¹" or "∑ᵢ₌₁ⁿ"."""
    lowest = _parts("".join(_LOWERED[each] for each in found[2]))
    highest = _parts("".join(_RAISED[each] for each in found[3])) if found[3] else ""
    name = _PREFIXED[found[1]].removesuffix(" of")
    return f"{name} from {lowest} to {highest} of" if highest else f"{name} over {lowest} of"


def _double_sign(found: re.Match[str]) -> str:  # noqa: ARG001
    return "asterisk asterisk"


def _ion(found: re.Match[str]) -> str | None:
    """Read an ion such as "Cl-", or a grade such as "B-"."""
    named = re.search(r"(?:^|[^\w])(?:[A-F]|Cl|Br|OH|HCO|NO)$", before(found, 5))
    return "minus" if named else None


def _absolute(found: re.Match[str]) -> str:
    value = found[1]
    return "the absolute value of " + (value if value.isalpha() else amount(value))


def _caret(found: re.Match[str]) -> str:
    said = {"2": "squared", "3": "cubed"}.get(found[1])
    return said or f"to the power of {amount(found[1])}"


def _index(found: re.Match[str]) -> str:
    return _parts("".join(_LOWERED[each] for each in found[0]))


def _minus(found: re.Match[str]) -> str:  # noqa: ARG001
    return "minus"


def _spaced_minus(found: re.Match[str]) -> str | None:
    """Read the minus of "x² + 3x - 4": between short operands, near other mathematics."""
    ahead, after = before(found, 30), behind(found, 30)
    sides = re.search(r"(?:[\w.]{1,4}|\d+|[)\]²³∞])\s?$", ahead) and re.match(
        r"\s?(?:[\w.]{1,4}(?!\w)|\d+|[(\[√∞])", after
    )
    near = re.search(r"[=+^×÷²³√<>]", ahead) or re.match(r"[\s\w.()]{1,20}[=+^×÷²³√*/<>]", after)
    return "minus" if sides and near else None


def _star(found: re.Match[str]) -> str:  # noqa: ARG001
    return "times"


def _slash(found: re.Match[str]) -> str | None:
    """Read a slash between numbers or single letters as a division."""
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
    reader(r"([⁰¹²³⁴⁵⁶⁷⁸⁹]{1,2})√", _higher_root, _RAISED_SET),
    reader(rf"([∫∑∏])([{_LOWERED_SET}]{{1,8}})([{_RAISED_SET}]{{1,8}})?", _bounded, "∫∑∏"),
    reader(rf"[{_RAISED_SET}]{{1,20}}", _power, f"l{_RAISED_SET}"),
    reader(rf"[{_LOWERED_SET}]{{1,20}}", _index, f"l{_LOWERED_SET}"),
    reader(
        r"(?<=\d)!(?=\s?[=+*/×÷^)−-])|(?<=\b[a-z])!(?=\s?[=+*/×÷^)−-]|\s[a-z])", "factorial", "!"
    ),
    reader(r"(?<=\b[a-zA-Z])(?:''|″|’’)(?=\s?[=(]|\s[+*/−-])", "double prime", "'’″"),
    reader(r"(?<=\b[a-zA-Z])['’′](?=\s?[=(]|\s[+*/−-])", "prime", "'’′"),
    reader(r"(?<=[\w)\]] )%(?=\s[\w(])(?=\s\d|\s[a-z]\b)", "modulo", "%"),
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
    reader(r"[-−](?=[\s.,;:)]|$)", _ion, "-−"),
    reader(r"(?<=\b[a-z])--(?=[\s;)]|$)", "minus minus", "-"),
    reader(r"(?<=\bT)[-−–](?=\d)", "minus", "-−–"),
    reader(r"(?<=\d)(?:\.{2,3}|…)(?=\d)", "to", ".…"),
    reader(r"(?:(?<=[\w)\]])|(?<=[\w)\]] ))(?:\^|\*\*)(?=\s?[-−\w(√])", "to the power of", "^*"),
    reader(r"\*\*", _double_sign, "*"),
    reader(r"(?<=\b[a-z])[-−](?=\d)|(?<=[)\]²³])[-−](?=[\w(])|[-−](?=[√∞πσ(])|−", _minus, "-−"),
    reader(r"/|∕|⁄", _slash, "/∕⁄"),
    reader("∞", "infinity", "∞"),
]

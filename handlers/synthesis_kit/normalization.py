"""What hibari's own normalisation does not read, or reads wrong, in words that it reads right.

It runs before that one, which knows times, dates, units, titles, Roman numerals and fractions;
its lexicon spells acronyms.
"""

from synthesis_kit import abbreviations, addresses, money, quantities
from synthesis_kit.rewriting import rewritten

_RULES = [*abbreviations.RULES, *addresses.RULES, *money.RULES, *quantities.RULES]


def readable(text: str) -> str:
    """*text* with addresses, amounts, numbers and abbreviations closer to how they are said."""
    return rewritten(text, _RULES)

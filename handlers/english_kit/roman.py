"""Roman numerals: after names, in titles, and as centuries."""

import re

from english_kit.numerals import cardinal, ordinal, year
from english_kit.scanner import Known, Reader, before, behind, reader

_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
_NUMERAL = r"(?=[IVXLCDM])M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})"
# Rulers and popes have a number of their own; all else has a place in a row.
_RULERS = re.compile(
    "Abbas|Abdullah|Adrian|Afonso|Albert|Alexander|Alexios|Alfonso|Amenhotep|Anne|Artaxerxes"
    "|Baldwin|Basil|Benedict|Boniface|Callixtus|Carl|Carlos|Casimir|Catherine|Celestine"
    "|Charles|Christian|Clement|Constantine|Cyrus|Darius|David|Edward|Elizabeth|Emmanuel"
    "|Eugene|Felipe|Ferdinand|Francis|Franklin|Franz|Frederick|Friedrich|George|Gregory|Gustaf"
    "|Gustav|Haakon|Harald|Hassan|Heinrich|Henry|Honorius|Hussein|Innocent|Isabella|Ivan|James"
    "|Jean|John|Joseph|Juan|Julius|Justinian|Karl|Kenneth|Leo|Leon|Leopold|Louis|Ludwig|Manuel"
    "|Margaret|Martin|Mary|Maximilian|Mehmed|Mohammed|Murad|Napoleon|Nicholas|Olaf|Olav|Otto"
    "|Paul|Pedro|Peter|Philip|Philippe|Pius|Ptolemy|Rainier|Rama|Rameses|Ramesses|Ramses"
    "|Richard|Robert|Rudolf|Rudolph|Sebastian|Selim|Seti|Sigismund|Sixtus|Stephen|Suleiman"
    "|Theodosius|Thutmose|Umberto|Urban|Victor|Wilhelm|Willem|William|Xerxes"
)
_TITLES = (
    "king|queen|pope|emperor|empress|tsar|czar|prince|princess|duke|sultan|shah|pharaoh|kaiser"
    "|patriarch|archduke|khan"
)
_PARTS = (
    "chapter|part|act|scene|section|volume|vol|book|phase|type|class|level|article|appendix|title|stage"
    "|grade|tier|mark|figure|fig|table|unit|war|bowl|episode|canto|psalm|verse|lesson|module|exhibit"
    "|schedule|annex|clause|group|category|division|factor|series|version|step|round|quarter|plate|season"
    "|generation|gen|mk|olympiad|no|number|question|problem|theorem|corps|legion|item|paragraph|movement"
)
_BEHIND_RULER = re.compile(
    r"\s*(?:$|[,.;:!?)'’\"]|of\b|was\b|is\b|had\b|has\b|ruled\b|and\b|died\b|became\b|reigned\b|the\b"
    r"|in\b|at\b|to\b|by\b|on\b|did\b|would\b|could\b|went\b|took\b|made\b|signed\b|never\b)"
)
_PART_GOES_ON = re.compile(r"\s(?:of|and|to|in|is|was)\b")
_NO_ROW = re.compile(
    "Agent|Brand|Class|Company|Factor|Gen|Generation|Group|Letter|Madam|Madame|Malcolm|Mister"
    "|Model|Mr|Ms|Patient|Person|Plan|Planet|Player|Point|Project|Series|Team|Variable|Vitamin"
)
_PART = re.compile(f"(?:{_PARTS})", re.IGNORECASE)
_TITLED = re.compile(rf"\b(?:{_TITLES})\s(?:[A-Z]\w+[\s-]){{0,2}}$", re.IGNORECASE)
_TWO_NAMES = re.compile(r"(?:^|[^\w'’ ] ?|\b[a-z]\w* )([A-Z][a-z]+) [A-Z][a-z]+,? $")
# Given names that are words as well.
_GIVEN = re.compile(
    "Art|Bill|Bob|Dean|Don|Drew|Earl|Frank|Gene|Grace|Grant|Guy|Harry|Jack|Jay|Jean|Jim|John|Josh"
    "|Ken|Lance|Mark|Max|Miles|Nick|Pat|Pete|Ray|Rich|Rob|Robin|Rod|Rose|Sam|Stan|Ted|Tom|Tony|Will"
)
_LAST_WORD = re.compile(r"([^\W\d_]+)(\.?)[\s-]$")
_NO_NUMERALS = frozenset(
    {
        "I",
        "MIX",
        "DI",
        "MI",
        "MD",
        "CD",
        "DC",
        "LI",
        "MC",
        "CV",
        "CC",
        "DVD",
        "XL",
        "DIM",
        "MM",
        "CM",
        "ID",
        "MIL",
        "CL",
        "DL",
        "ML",
        "LCD",
    }
)


def worth(numeral: str) -> int:
    """Return the value of a Roman numeral in capitals."""
    numbers = [_VALUES[each] for each in numeral]
    return sum(
        -each if each < following else each
        for each, following in zip(numbers, [*numbers[1:], 0], strict=True)
    )


class RomanReader:
    """Reads Roman numerals; *known* tells which words there are.

    A numeral after words that it does not know follows the name of a person.
    """

    def __init__(self, known: Known) -> None:
        self._known = known

    def readers(self) -> list[Reader]:
        """Return the readers in their order."""
        first, *others = _READERS
        numeral = reader(rf"(?<![\w'’])({_NUMERAL})(['’]s)?(?!\w|['’]\w)", self._said, "l")
        return [first, numeral, *others]

    def _said(self, found: re.Match[str]) -> str | None:
        said = self._words(found)
        if said is None or not found[2]:
            return said
        return f"{said}'s" if said.startswith("the ") else None

    def _words(self, found: re.Match[str]) -> str | None:
        numeral = found[1]
        ahead, after = before(found), behind(found)
        word = _LAST_WORD.search(ahead)
        if re.match(r"(?:\s|-)(?:century|centuries|dynasty)\b", after) and numeral != "I":
            return ordinal(worth(numeral))
        name = word[1] if word else ""
        if numeral == "X" and name in {"Generation", "Gen"}:
            return None
        if _PART.fullmatch(name) and not _is_pronoun(numeral, name, after):
            return cardinal(worth(numeral))
        if _is_ruler(name, ahead) and not name.isupper():
            reigned = found[2] or numeral not in "CDILM" or _BEHIND_RULER.match(after)
            return f"the {ordinal(worth(numeral))}" if reigned else None
        if len(numeral) > 1 and numeral not in _NO_NUMERALS and self._is_person(ahead):
            return f"the {ordinal(worth(numeral))}"
        return _after_no_ruler(numeral, name, ahead)

    def _is_person(self, ahead: str) -> bool:
        """Return whether a person is named, as in "Thurston Howell III"; "Star Wars" is not one."""
        names = _TWO_NAMES.search(ahead)
        if names is None:
            return False
        return bool(_GIVEN.fullmatch(names[1])) or not self._known(names[1].lower())


def _is_pronoun(numeral: str, part: str, after: str) -> bool:
    """Return whether "I" continues the sentence, as in "on this page I read"."""
    goes_on = re.match(r"\s[a-z]", after) and not _PART_GOES_ON.match(after)
    return numeral == "I" and part.islower() and goes_on is not None


def _after_no_ruler(numeral: str, name: str, ahead: str) -> str | None:
    if (
        len(numeral) > 3
        and (len(numeral) > 4 or ahead.endswith("opyright "))
        and worth(numeral) > 1000
    ):
        return year(worth(numeral))
    if re.fullmatch("MM[XIVL]{1,6}|MCM[XIVL]{1,8}", numeral) and len(numeral) > 3:
        return year(worth(numeral))
    if numeral in _NO_NUMERALS or len(numeral) < 2:
        return cardinal(worth(numeral)) if numeral in "VX" and _in_title(name, ahead) else None
    if re.search(r"[^\W\d_]\.?[ -]$", ahead) and name[:1].isupper() and not name.isupper():
        return cardinal(worth(numeral))
    row = re.search(r"\b[IVX]+(?:,| and| or| to|[-–])\s?$", ahead)
    return (
        cardinal(worth(numeral))
        if row or numeral in {"II", "III", "VII", "VIII", "XII", "XIII"}
        else None
    )


def _in_title(name: str, ahead: str) -> bool:
    """Read the numeral of a title, as in "Rocky V", but not the X of "Malcolm X" or "Plan X"."""
    return bool(re.search(r"[A-Z][a-z]+ $", ahead)) and not _NO_ROW.fullmatch(name)


def _is_ruler(name: str, ahead: str) -> bool:
    if _RULERS.fullmatch(name):
        return True
    return name[:1].isupper() and _TITLED.search(ahead) is not None


def _ordinal_numeral(found: re.Match[str]) -> str:
    """Read an ordinal, as in "the XXth century"."""
    return ordinal(worth(found[1]))


def _listed(found: re.Match[str]) -> str:
    """Read the number of an item, such as "iii)", at the beginning of a line."""
    return cardinal(worth(found[1].upper()))


def _enumerated(found: re.Match[str]) -> str:
    return f"({cardinal(worth(found[1].upper()))})"


def _small(found: re.Match[str]) -> str | None:
    """Read a numeral in lower case, as in "Scene ii" or "page xiv"."""
    word = _LAST_WORD.search(before(found))
    if word is None or not re.fullmatch(f"(?:{_PARTS}|pages?|pp|p)", word[1], re.IGNORECASE):
        return None
    return cardinal(worth(found[0].upper()))


def _row(found: re.Match[str]) -> str | None:
    """Read a range such as "I-IV" after the name of a part."""
    word = _LAST_WORD.search(before(found))
    if word is None or not re.fullmatch(f"(?:{_PARTS})s?", word[1], re.IGNORECASE):
        return None
    return (
        f"{cardinal(worth(found[1]))} {'and' if '&' in found[2] or 'and' in found[2] else 'to'} "
        f"{cardinal(worth(found[3]))}"
    )


_READERS: list[Reader] = [
    reader(r"(?<!\w)([IVX]{1,5})(\s?[-–]\s?|\s(?:and|to|&)\s)([IVX]{1,5})(?!\w)", _row, "l"),
    reader(r"(?<!\S)(ii|iii|iv|vi|vii|viii|ix|xi|xii)(?=\)\s)", _listed, "l"),
    reader(r"(?<!\w)([IVX]{1,6})(?:st|nd|rd|th)(?!\w)", _ordinal_numeral, "l"),
    reader(r"(?=[ivxl]{1,7}(?!\w))(?:xl|l?x{0,3})(?:ix|iv|v?i{0,3})(?!['’]\w)", _small, "l"),
    reader(r"\((ii|iii|iv|vi|vii|viii|ix|xi|xii)\)", _enumerated, "("),
]

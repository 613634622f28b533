"""Abbreviations.  One that is also a word is expanded only if the following text requires it."""

import re

from english_kit.scanner import Reader, before, behind, kept_stop, reader

_TITLES = {
    "Mr": "Mr",
    "Mrs": "Mrs",
    "Ms": "Miz",
    "Mx": "Mix",
    "Dr": "Dr",
    "Drs": "Doctors",
    "Prof": "Professor",
    "Profs": "Professors",
    "St": "Saint",
    "Mt": "Mount",
    "Ft": "Fort",
    "Gen": "General",
    "Gov": "Governor",
    "Sen": "Senator",
    "Sens": "Senators",
    "Rep": "Representative",
    "Reps": "Representatives",
    "Capt": "Captain",
    "Lt": "Lieutenant",
    "Col": "Colonel",
    "Sgt": "Sergeant",
    "Cmdr": "Commander",
    "Rev": "Reverend",
    "Hon": "Honorable",
    "Pres": "President",
    "Supt": "Superintendent",
    "Cpl": "Corporal",
    "Pvt": "Private",
    "Maj": "Major",
    "Adm": "Admiral",
    "Amb": "Ambassador",
    "Atty": "Attorney",
    "Fr": "Father",
    "Msgr": "Monsignor",
    "Messrs": "Messers",
}
_STOPLESS_TITLES = "Mr|Mrs|Ms|Mx|Dr|Drs|Prof|St|Mt|Lt|Sgt|Capt|Cpl"
# Expanded wherever they are followed by a stop.
_STOPPED = {
    "Mr": "Mr",
    "Mrs": "Mrs",
    "Ms": "Miz",
    "Jr": "Junior",
    "Sr": "Senior",
    "Ave": "Avenue",
    "Blvd": "Boulevard",
    "Rd": "Road",
    "Ln": "Lane",
    "Hwy": "Highway",
    "Pkwy": "Parkway",
    "Sq": "Square",
    "Ste": "Suite",
    "Apt": "Apartment",
    "Bldg": "Building",
    "Ltd": "Limited",
    "Inc": "Incorporated",
    "Corp": "Corporation",
    "Co": "Company",
    "Bros": "Brothers",
    "Mgr": "Manager",
    "Attn": "Attention",
    "attn": "attention",
    "prof": "professor",
    "Mfg": "Manufacturing",
    "Dept": "Department",
    "dept": "department",
    "Univ": "University",
    "univ": "university",
    "Assn": "Association",
    "Assoc": "Association",
    "assoc": "associate",
    "Asst": "Assistant",
    "asst": "assistant",
    "Govt": "Government",
    "govt": "government",
    "Intl": "International",
    "intl": "international",
    "Natl": "National",
    "Hosp": "Hospital",
    "Esq": "Esquire",
    "approx": "approximately",
    "Approx": "Approximately",
    "vs": "versus",
    "Vs": "Versus",
    "incl": "including",
    "excl": "excluding",
    "misc": "miscellaneous",
    "Misc": "Miscellaneous",
    "eds": "editors",
    "cf": "compare",
    "Cf": "Compare",
    "viz": "namely",
    "Supt": "Superintendent",
    "avg": "average",
    "Avg": "Average",
    "qty": "quantity",
    "Qty": "Quantity",
    "tel": "telephone",
    "Tel": "Telephone",
    "temp": "temperature",
    "Temp": "Temperature",
}
_NEVER_A_WORD = (
    "vs|approx|Approx|Ave|Blvd|Rd|Hwy|Pkwy|Bldg|dept|Dept|Ltd|Jr|govt|Govt|asst|Asst|intl|Intl"
    "|avg|Avg|qty|Qty"
)
# Expanded only before a number: "no. 5", "The answer is no."
_NUMBERED = {
    "no": "number",
    "nos": "numbers",
    "fig": "figure",
    "figs": "figures",
    "ch": "chapter",
    "chap": "chapter",
    "sec": "section",
    "sect": "section",
    "art": "article",
    "vol": "volume",
    "vols": "volumes",
    "p": "page",
    "pg": "page",
    "pp": "pages",
    "pgs": "pages",
    "para": "paragraph",
    "eq": "equation",
    "eqs": "equations",
    "op": "opus",
    "ver": "version",
    "rm": "room",
    "ed": "edition",
    "ext": "extension",
    "apt": "apartment",
    "ste": "suite",
    "est": "established",
    "min": "minimum",
    "max": "maximum",
    "ca": "circa",
    "c": "circa",
    "al": "al",
    "ref": "reference",
    "rte": "route",
    "tab": "table",
    "ex": "example",
    "app": "appendix",
    "col": "column",
    "ln": "line",
    "l": "line",
    "ll": "lines",
    "fl": "floor",
    "bk": "book",
    "pt": "part",
    "div": "division",
    "lot": "lot",
    "box": "box",
    "mk": "mark",
    "nr": "number",
    "b": "born",
    "d": "died",
}
_BIRTHS = frozenset({"b", "d"})  # b. 1920
_OFTEN_AHEAD = frozenset({"Bros", "Asst", "asst", "Univ", "univ", "Dept", "dept", "Intl", "intl"})

_STOPLESS_NUMBERED = "nos|fig|figs|pp|vol|vols|pg|pgs|rte|rm|mk"
_LETTERED = "figs?|vols?|app|sect?|ch|chap|eqs?|tab|rm|apt|ste|ex|ref|para|bk|div|nos"  # fig. A
_YEAR_FOLLOWS = re.compile(r"\s[12]\d{3}\b")
_DIGIT_FOLLOWS = re.compile(r"\s?\d")
_NUMBER_FOLLOWS = re.compile(r"\s?[#(§]?(?:\d|[A-Z]\d|[IVX]+\b(?!\s[a-z]))")
_LETTER_FOLLOWS = re.compile(
    r"\s?[#(§]?(?:\d|[A-Z]\d|(?!I\s(?!of|and)[a-z])[IVXLC]+\b|[A-Z]\b(?!['’]|\s[a-z]))"
)
_STARTERS = (
    "The|He|She|It|We|They|I|You|This|That|These|Those|There|Then|But|And|In|On|At|If|When|As|A|An|No"
    "|Not|So|His|Her|Its|Our|My|For|To|By|What|Why|How|Who|Where|Yes|After|Before|Now|Here|One|Some|All"
)


def _title(found: re.Match[str]) -> str | None:
    """Read a title, as in "Dr. Smith"; in "Elm Dr." and "Main St." it is a street."""
    name, stop = found.groups()
    if not stop and not re.fullmatch(_STOPLESS_TITLES, name):
        return None
    ahead = re.search(r"(?:^|[^.!?,;:\s])\s?([A-Z0-9][\w'’]*)\s$", before(found))
    if name in {"St", "Dr"} and ahead and re.search(r"\d[\w ]{1,30}$", before(found)):
        return None
    return _TITLES[name]


def _street(found: re.Match[str]) -> str | None:
    """Read "St." and the like after a name, as in "5 Main St." or "on Elm Dr."; None otherwise."""
    name, stop = found.groups()
    after = behind(found, 4)
    if not re.search(r"[A-Z0-9][\w'’]*\s$", before(found)):
        return None
    if not stop and not re.match(r"\s?(?:$|[,;:!?)]|\s[a-z#])", after):
        return None
    return {"St": "Street", "Dr": "Drive", "Mt": "Mountain"}[name] + kept_stop(found)


def _stopped(found: re.Match[str]) -> str | None:
    name, stop = found.groups()
    if not stop and not re.fullmatch(_NEVER_A_WORD, name):
        return None
    if name in {"Sq", "Co", "Ste", "Ln"} and not re.search(
        r"(?:[A-Z&][\w&'’]*,?|\w)\s$", before(found)
    ):
        return None
    if name in {"temp", "Temp"} and not re.match(r"\s(?:\d|of|was|is|:)|:", behind(found, 5)):
        return None
    if name in {"Sr", "vs", "Vs", "approx", "incl", "excl", "cf", "Cf", "Apt", "Ste", "Attn"}:
        return _STOPPED[name]
    if name in _OFTEN_AHEAD:
        return _STOPPED[name] + ("." if stop and _begins_sentence(behind(found, 12)) else "")
    return _STOPPED[name] + kept_stop(found)


def _numbered(found: re.Match[str]) -> str | None:
    name, stop = found.groups()
    low = name.lower()
    usual = name in {low, name.capitalize(), name.upper()}
    follows = _LETTER_FOLLOWS if re.fullmatch(_LETTERED, low) else _NUMBER_FOLLOWS
    if not stop:
        usual = usual and re.fullmatch(_STOPLESS_NUMBERED, low) is not None
        follows = _DIGIT_FOLLOWS
    if low in _BIRTHS:
        follows = _YEAR_FOLLOWS
    if not usual or not follows.match(behind(found, 8)):
        return None
    said = _NUMBERED[low]
    return said.capitalize() if name[0].isupper() else said


def _doctor(found: re.Match[str]) -> str | None:
    """Read "Dr." where no name follows, as in "ask the Dr. about it"."""
    if not re.search(r"\b(?:the|an?|my|your|his|her|our|their)\s$", before(found, 8)):
        return None
    return "doctor" + kept_stop(found)


def _against(found: re.Match[str]) -> str | None:
    """Read the "v." between the parties of a lawsuit, as in "Roe v. Wade"."""
    return "versus" if re.search(r"[A-Z][\w.'’]*\s$", before(found, 24)) else None


def _et_cetera(found: re.Match[str]) -> str:
    return "etc." if not behind(found).strip() or re.match(r"\s+[A-Z]", behind(found)) else "etc"


def _phd(found: re.Match[str]) -> str:
    """Read degrees such as "Ph.D." letter by letter; the last stop may end the sentence."""
    letters = re.sub(r"[.\s]", "", found[0]).upper()
    return " ".join(letters) + kept_stop(found)


def _initials(found: re.Match[str]) -> str | None:
    """Read several initials, as in "U.S.", "J. R. R." and "M.D.s"."""
    letters = re.sub(r"[.\s]", "", found[1])
    after = behind(found, 12)
    ending = found[2] or ("." if _begins_sentence(after) else "")
    return " ".join(letters.upper()) + ending


def _initial(found: re.Match[str]) -> str | None:
    """Read one initial, as in "John F. Kennedy"; "Plan B. We left" ends a sentence."""
    if re.match(r"\s?[A-Z]\.", behind(found, 3)):
        return found[1]
    if _begins_sentence(behind(found, 12)) or not re.search(
        r"(?:^|[.!?,(\"“]\s?|[A-Z][\w'’]*\s|[A-Z]\.\s?|\b(?:by|and|of|to|with|from)\s)$",
        before(found),
    ):
        return None
    return found[1]


def _begins_sentence(after: str) -> bool:
    """Return whether nothing follows, or a word that often begins a sentence."""
    return not after.strip() or re.match(rf"\s+(?:{_STARTERS})\b", after) is not None


def _et_al(found: re.Match[str]) -> str:
    return "et al" + kept_stop(found)


def _alternatives(names: "dict[str, str]") -> str:
    return "|".join(sorted(names, key=len, reverse=True))


READERS: list[Reader] = [
    reader(rf"(?<![\w.'’])({_alternatives(_TITLES)})(\.?)(?=\s[A-Z])", _title, "l"),
    reader(r"(?<![\w.'’])[Dd]r\.(?!\w)", _doctor, "l"),
    reader(r"(?<![\w.'’])(St|Dr|Mt)(\.?)(?!\w)", _street, "l"),
    reader(r"(?<!\w)Est\.(?=\sin\s\d)", "Established", "l"),
    reader(
        rf"(?<![\w.'’])({_alternatives(_NUMBERED)})(\.(?=\d)|\.?(?![\w'’]))",
        _numbered,
        "l",
        any_case=True,
    ),
    reader(rf"(?<![\w.'’])({_alternatives(_STOPPED)})(\.?)(?![\w'’])", _stopped, "l"),
    reader(r"№\s?", "number", "№"),
    reader(r"§{1,2}\s?", lambda found: "sections" if "§§" in found[0] else "section", "§"),
    reader(r"(?<!\w)etc\.(?!\w)", _et_cetera, "l"),
    reader(r"(?<!\w)et al(\.)?(?!\w)", _et_al, "l"),
    reader(
        r"(?<![\w.])(?:Ph\.\s?D|M\.\s?D|B\.\s?A|M\.\s?A|B\.\s?Sc|M\.\s?Sc|D\.\s?Phil|LL\.\s?[BM])\."
        r"(?!\w)",
        _phd,
        "l",
    ),
    reader(r"(?<![\w.])[eE]\.\s?g\.(?!\w)", "for example", "l"),
    reader(r"(?<![\w.])[iI]\.\s?e\.(?!\w)", "that is", "l"),
    reader(r"(?<![\w.])((?:[^\W\d_]\.){2,8})(s(?!\w))?(?!\w)", _initials, "l"),
    reader(r"(?<!\w)vs?\.(?=\s[A-Z])", _against, "l"),
    reader(r"(?<![\w.'’])([A-Z])\.(?=\s?[A-Z][\w.])", _initial, "l"),
]

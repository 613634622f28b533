"""Removes the marks of Markdown and HTML, and keeps the text.

A sign between operands is not markup: 2 * 3, a < b, snake_case, 5 > 3.
"""

import html
import re

_BLOCKS = (
    "p|div|br|hr|li|ul|ol|tr|table|h[1-6]|blockquote|section|article|header|footer|pre|dd|dt|dl"
    "|td|th"
)
_LINES = frozenset({"br", "hr", "li", "tr", "dd", "dt", "td", "th"})
_TAGS = (
    "a|abbr|acronym|address|article|aside|audio|b|bdi|bdo|big|blockquote|body|br|button|caption|center"
    "|cite|code|col|dd|del|details|dfn|div|dl|dt|em|embed|fieldset|figcaption|figure|font|footer|form"
    "|h[1-6]|head|header|hr|html|i|iframe|img|input|ins|kbd|label|legend|li|link|main|mark|meta|nav|ol"
    "|option|p|picture|pre|q|s|samp|script|section|select|small|source|span|strike|strong|style|sub"
    "|summary|sup|svg|table|tbody|td|textarea|tfoot|th|thead|time|title|tr|tt|u|ul|var|video|wbr"
)
# What looks like attributes: "a <b and c> d" is not a tag.
_ATTRIBUTES = (
    r"(?:\s{1,9}[\w:@.-]{1,64}(?:\s?=\s?(?:\"[^\"<>]{0,1000}\"|'[^'<>]{0,1000}'|[^\s\"'<>]{1,1000}))"
    r"|\s(?:allowfullscreen|async|autoplay|checked|controls|defer|disabled|hidden|loop|multiple|muted"
    r"|open|readonly|required|reversed|selected)){0,40}\s{0,9}"
)
_TAG = re.compile(rf"</?({_TAGS}){_ATTRIBUTES}/?>", re.IGNORECASE)
_ALTERNATIVE = re.compile(r"\salt\s?=\s?(?:\"([^\"]*)\"|'([^']*)')", re.IGNORECASE)
# Elements that HTML does not know: marks, where they are closed.
_CLOSED = re.compile(r"</([A-Za-z][\w.:-]{0,63})\s?>")
_UNKNOWN_TAG = re.compile(rf"</?([A-Za-z][\w.:-]{{0,63}}){_ATTRIBUTES}/?>")
_HIDDEN = re.compile(
    r"<!--.{0,5000}?-->|<(script|style|head)\b[^<>]{0,1000}>.{0,5000}?</\1>|<!DOCTYPE[^<>]{0,500}>",
    re.IGNORECASE | re.DOTALL,
)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_AUTOLINK = re.compile(r"<((?:https?://|mailto:)[^\s<>]{1,2000}|[\w.+-]{1,64}@[\w.-]{1,255})>")
_IMAGE_OR_LINK = re.compile(
    r"!?\[([^\[\]\n]{0,1000})\](?:\((?:[^()\s]|\([^()\s]{0,200}\)){0,1000}(?:\s\"[^\"\n]{0,200}\")?\)"
    r"|\[[^\[\]\n]{0,200}\])"
)
_NOTE = re.compile(r"\[\^[\w-]{1,32}\](?::\s)?")
_REFERENCE = re.compile(r"^ {0,3}\[(?!\^)([^\[\]\n]{1,200})\]:\s\S{1,2000}.{0,200}$", re.MULTILINE)
_FENCE = re.compile(r"^\s{0,3}(?:```|~~~)[^\n`]{0,100}$\n?", re.MULTILINE)
_RULE = re.compile(r"^[ \t]{0,3}([-*_=])(?:[ \t]?\1){2,200}[ \t]*$", re.MULTILINE)
_TABLE_RULE = re.compile(
    r"^[ \t]*\|?[ \t]*:?-{2,50}:?[ \t]*(?:\|[ \t]*:?-{2,50}:?[ \t]*){1,50}\|?[ \t]*$\n?",
    re.MULTILINE,
)
_TABLE_ROW = re.compile(r"^[ \t]*\|(.{1,1000})\|[ \t]*$", re.MULTILINE)
_HEADING = re.compile(r"^[ \t]{0,3}#{1,6}[ \t]+(?=[\w\"'“‘(*_`~<\[])(.*)$", re.MULTILINE)
_HEADING_END = re.compile(r"[ \t]+#+[ \t]*$")
_BEGINNING = re.compile(
    r"^[ \t]{0,12}(?:>[ \t]?){1,10}(?:#{1,6}[ \t]+)?"
    r"(?=[^\W\d]|[\"'“‘(*_`~<\[#!@$€£-])"
    r"|^[ \t]{0,24}(?:[-*•‣◦▪●–][ \t]+(?:\[[ xX]\][ \t]+)?(?=[\w\"'“‘(*_`~<$€£#@&!\[])"
    r"|\+[ \t]+(?=[^\W\d_]{2}))",
    re.MULTILINE,
)
# Opened before a character, closed after one on the same line, and not inside a word.
_MARKS = ("***", "___", "**", "__", "~~", "==", "*", "_", "``", "`", "~", "||")
_ENCLOSING = [
    (
        mark,
        re.compile(rf"(?<![\w\\{mark[0]}]){re.escape(mark)}(?=[^\s{mark[0]}])"),
        re.compile(rf"(?<=[^\s\\]){re.escape(mark)}(?![\w{mark[0]}])"),
    )
    for mark in _MARKS
]
_LONGEST_ENCLOSED = 2000  # characters
_INSIDE = re.compile(
    r"(?<=\w)\*{2,3}([^\s*][^\n*]{0,500}?)\*{2,3}(?=\w|\W|$)|\*{2,3}([^\s*][^\n*]{0,500}?)\*{2,3}(?=\w)"
)
_INSIDE_ONCE = re.compile(r"(?<=[^\W\d_]{2})\*([^\W\d_]{2,60})\*(?=[^\W\d_]{2})")
_LOWERED = re.compile(r"(?<=\w)~([^\s~]{1,20})~")  # H~2~O
_RAISED = re.compile(r"(?<=\w)\^([^\s^]{1,20})\^")  # x^2^
_ESCAPED = re.compile(r"\\([\\`*_{}\[\]()#+\-.!~|<>=])")


def plain(text: str) -> str:
    """Return *text* without its marks.  Blocks begin on lines of their own."""
    if "<" in text:
        text = _HIDDEN.sub(" ", text)
        text = _AUTOLINK.sub(lambda found: found[1].removeprefix("mailto:"), text)
        text = _TAG.sub(_break, text)
        closed = set(_CLOSED.findall(text))
        if closed:
            text = _UNKNOWN_TAG.sub(lambda tag: "" if tag[1] in closed else tag[0], text)
    if "&" in text:
        text = _ENTITY.sub(lambda found: html.unescape(found[0]), text)
    if "[" in text:
        text = _REFERENCE.sub("", text)
        text = _IMAGE_OR_LINK.sub(r"\1", text)
        text = _NOTE.sub("", text)
    text = _FENCE.sub("", text)
    text = _RULE.sub("", text)
    if "|" in text:
        text = _TABLE_RULE.sub("", text)
        text = _TABLE_ROW.sub(lambda found: ", ".join(_cells(found[1])), text)
    text = _HEADING.sub(lambda found: _HEADING_END.sub("", found[1]) + "\n\n", text)
    text = _BEGINNING.sub("", text)
    for mark, opening, closing in _ENCLOSING:
        if mark in text:
            text = _unenclosed(text, opening, closing)
    text = _INSIDE.sub(lambda found: found[1] or found[2], text)
    text = _INSIDE_ONCE.sub(r"\1", text)
    text = _LOWERED.sub(r"\1", text)
    text = _RAISED.sub(r"^\1", text)
    return _ESCAPED.sub(r"\1", text)


def _unenclosed(text: str, opening: re.Pattern[str], closing: re.Pattern[str]) -> str:
    """Return *text* without the marks of *opening* and the next of *closing* after each.

    Both are searched only once, so a text full of marks that never close takes no longer.
    """
    closed = iter(closing.finditer(text))
    end = next(closed, None)
    kept: list[str] = []
    place = 0
    for start in opening.finditer(text):
        if start.start() < place:
            continue
        while end is not None and end.start() <= start.end():
            end = next(closed, None)
        if end is None:
            break
        inner = text[start.end() : end.start()]
        if len(inner) <= _LONGEST_ENCLOSED and "\n" not in inner:
            kept += [text[place : start.start()], inner]
            place = end.end()
    return "".join([*kept, text[place:]])


def _break(found: re.Match[str]) -> str:
    name = found[1].lower()
    if name in _LINES:
        return "\n"
    if name == "img" and (alternative := _ALTERNATIVE.search(found[0])):
        return alternative[1] or alternative[2] or ""
    return "\n\n" if re.fullmatch(_BLOCKS, name) else ""


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.split("|") if cell.strip()]

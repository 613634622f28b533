"""A table in Markdown, so that the documents can show it as it was printed."""

from collections.abc import Mapping, Sequence


def markdown(columns: Sequence[Mapping[str, str]]) -> str:
    """Return a table with one column for each of *columns*, and one line for each of their keys.

    The keys of the first column give the lines and their order; a missing value is a dash.
    """
    lines = []
    for number, key in enumerate(columns[0]):
        values = [column.get(key, "–") for column in columns]
        lines.append(f"| {' | '.join([key if number else '', *values])} |")
        if number == 0:
            lines.append("|---" * (len(columns) + 1) + "|")
    return "\n".join(lines)

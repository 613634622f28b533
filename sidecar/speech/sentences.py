"""A text's sentences.  The synthesis handler cuts whole texts with the same library call."""

import sentencex


def sentences(text: str, language: str) -> list[str]:
    """The sentences of *text* in *language* (ISO 639-1), without the space around them.

    A text of spaces alone is one sentence, for the model to refuse.
    """
    parts = [part.strip() for part in sentencex.segment(language, text)]
    return [part for part in parts if part] or [text]

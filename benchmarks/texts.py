"""Texts as people send them, and sentences in a row."""

import random
from pathlib import Path

from tests.sentences import SENTENCES


def mixed_texts(count: int, seed: int = 7) -> list[str]:
    """Return *count* English texts of 3 to 200 words, most of them short, as people send them."""
    chance = random.Random(seed)
    words = Path(__file__).with_name("words.txt").read_text().split()
    lengths = [min(200, max(3, int(chance.lognormvariate(2.9, 0.9)))) for _ in range(count)]
    return [" ".join(chance.choices(words, k=length)) for length in lengths]


def long_text(characters: int) -> str:
    """Return whole sentences, at most *characters* of them together."""
    text = SENTENCES[0]
    place = 1
    while len(text) + 1 + len(SENTENCES[place]) <= characters:
        text = f"{text} {SENTENCES[place]}"
        place = (place + 1) % len(SENTENCES)
    return text

"""English text to phonemes in misaki's alphabet, by the package hibari-tts."""

from hibari.g2p import G2P, normalize

from synthesis_kit.normalization import readable

UNKNOWN_WORD = "Zyxqworv"  # no lexicon has it: asked once, so that nobody waits for the first one
_STRESS = frozenset("ˈˌ")


class Pronunciation:
    """Lexicon, part-of-speech tagger, and a small network for words that no lexicon has.

    All of them lie in the installed package; nothing is downloaded.
    """

    def __init__(self) -> None:
        self._phonemize = G2P()
        self.phonemes(UNKNOWN_WORD, normalized=False)

    def phonemes(self, text: str, *, normalized: bool) -> str:
        """How *text* is said; "" for what nobody can say.

        *normalized*: numbers, dates, addresses and abbreviations are spelled out before.
        """
        words = normalize(readable(text)) if normalized else " ".join(text.split())
        said = str(self._phonemize(words, normalize_text=False)) if words else ""
        return said if any(each.isalpha() and each not in _STRESS for each in said) else ""

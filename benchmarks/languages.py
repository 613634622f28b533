"""`python -m benchmarks.languages`: a sentence in twelve languages, spoken by espeak-ng.

For each language it prints what `whisper_base` took it for, how sure it was, the error rates of
words and letters after Whisper's own normalisation, and the translation into English.  Needs the
program espeak-ng, and the archive: `scripts/build_archives whisper_base`.
"""

import asyncio
import io
import subprocess
from typing import Any

import aiohttp
import jiwer
from transformers.models.whisper.english_normalizer import BasicTextNormalizer

from benchmarks.speech_server import serving

MODEL = "whisper_base"
WORDS_PER_MINUTE = 140
SENTENCES = {  # language: espeak-ng's voice, and the text
    "en": (
        "en-us",
        "The weather is beautiful today and we are going to the beach with our friends.",
    ),
    "de": (
        "de",
        "Das Wetter ist heute sehr schön und wir gehen mit unseren Freunden an den Strand.",
    ),
    "fr": ("fr-fr", "Le temps est très beau aujourd'hui et nous allons à la plage avec nos amis."),
    "es": ("es", "El tiempo es muy bueno hoy y vamos a la playa con nuestros amigos."),
    "it": ("it", "Oggi il tempo è molto bello e andiamo in spiaggia con i nostri amici."),
    "pt": ("pt-br", "O tempo está muito bonito hoje e vamos à praia com os nossos amigos."),
    "nl": ("nl", "Het weer is vandaag erg mooi en we gaan met onze vrienden naar het strand."),
    "pl": ("pl", "Dzisiaj pogoda jest bardzo ładna i idziemy na plażę z naszymi przyjaciółmi."),
    "ru": ("ru", "Сегодня очень хорошая погода, и мы идём на пляж с нашими друзьями."),
    "sv": ("sv", "Vädret är mycket vackert idag och vi går till stranden med våra vänner."),
    "tr": ("tr", "Bugün hava çok güzel ve arkadaşlarımızla birlikte plaja gidiyoruz."),
    "fi": ("fi", "Sää on tänään erittäin kaunis ja menemme rannalle ystäviemme kanssa."),
}
normalize = BasicTextNormalizer()


def speak(voice: str, text: str) -> bytes:
    """Return *text* as a WAV file."""
    command = ["espeak-ng", "-v", voice, "-s", str(WORDS_PER_MINUTE), "--stdout", text]
    return subprocess.run(command, capture_output=True, check=True).stdout


async def transcribe(http: aiohttp.ClientSession, wav: bytes, **fields: str) -> dict[str, Any]:
    """Return the answer of /transcribe."""
    form = aiohttp.FormData({"model": MODEL, **fields})
    form.add_field("file", io.BytesIO(wav), filename="clip.wav")
    async with http.post("/transcribe", data=form) as response:
        response.raise_for_status()
        answer: dict[str, Any] = await response.json()
        return answer


async def main() -> None:
    """Print the table."""
    print(
        "| Language | heard as | words wrong | letters wrong | translation |\n|---|---|---|---|---|"
    )
    async with serving() as (_, http):
        for language, (voice, text) in SENTENCES.items():
            wav = speak(voice, text)
            found = await transcribe(http, wav)
            known = await transcribe(http, wav, language=language)
            english = await transcribe(http, wav, language=language, task="translate")
            expected, said = normalize(text), normalize(known["transcription"])
            print(
                f"| {language} | {found['language']} {found['language_probability']:.2f} "
                f"| {jiwer.wer(expected, said):.2f} | {jiwer.cer(expected, said):.2f} "
                f"| {english['transcription']} |"
            )


if __name__ == "__main__":
    asyncio.run(main())

"""Embeddings, speech and a transcription with OpenAI's client.

Usage: examples/openai_client.py [ADDRESS]
"""

import sys

from openai import OpenAI

SERVER = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8000"
client = OpenAI(base_url=f"{SERVER}/v1", api_key="none")  # any, where no credential is needed

texts = ["The weather is fine.", "It is a sunny day.", "The bank raised its rates."]
vectors = [each.embedding for each in client.embeddings.create(model="minilm", input=texts).data]
for text, vector in zip(texts[1:], vectors[1:], strict=True):
    likeness = sum(a * b for a, b in zip(vectors[0], vector, strict=True))
    print(f"{likeness:.2f}  {texts[0]}  {text}")

audio = bytearray()
with client.audio.speech.with_streaming_response.create(
    model="tts-1", voice="nova", input="Hello. This is how I sound.", response_format="wav"
) as speech:
    for piece in speech.iter_bytes():  # could be played already
        audio += piece

heard = client.audio.transcriptions.create(
    model="whisper-1",
    file=("hello.wav", bytes(audio)),
    response_format="verbose_json",
    timestamp_granularities=["word"],
)
print(heard.text)
for word in heard.words or []:
    print(f"{word.start:6.2f}  {word.word}")

"""Predictions, speech and a transcription with requests.  Usage: examples/predict.py [ADDRESS]"""

import sys

import requests

SERVER = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8000"


def predict(inputs: object) -> object:
    body = {"model_name": "example", "inputs": inputs}
    answer = requests.post(f"{SERVER}/predict", json=body, timeout=60)
    answer.raise_for_status()
    return answer.json()["result"]


def speak(text: str) -> bytes:
    headers = {"Accept": "audio/wav"}
    answer = requests.post(f"{SERVER}/synthesize", json={"text": text}, headers=headers, timeout=60)
    answer.raise_for_status()
    return answer.content


def transcribe(audio: bytes) -> str:
    answer = requests.post(f"{SERVER}/transcribe", files={"file": audio}, timeout=300)
    answer.raise_for_status()
    text: str = answer.json()["transcription"]
    return text


print("One input:", predict([1, 2, 3, 4, 5]))
print("A batch:", predict([[1, 2, 3], [4, 5, 6]]))
print("A text, spoken and heard again:", transcribe(speak("Hello. This is how I sound.")))

"""Numbers, vectors, and speech there and back with Triton's client over HTTP.

Usage: examples/triton_http.py [ADDRESS]
"""

import sys

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput

SERVER = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8000"
client = InferenceServerClient(SERVER.removeprefix("http://"), network_timeout=300)


def texts(name: str, values: list[bytes]) -> InferInput:
    tensor = InferInput(name, [len(values)], "BYTES")
    tensor.set_data_from_numpy(np.array(values, np.object_))
    return tensor


print(client.get_model_metadata("example"))
numbers = InferInput("input", [2, 10], "FP32")
numbers.set_data_from_numpy(np.arange(20, dtype=np.float32).reshape(2, 10))
print("Two rows:", client.infer("example", [numbers], priority=5).as_numpy("output").tolist())

sentences = texts("text", [b"The weather is fine.", b"It is a sunny day."])
vectors = client.infer("sentence_transformer", [sentences]).as_numpy("embedding")
print(f"Alike: {vectors[0] @ vectors[1]:.2f}, of {vectors.shape[1]} numbers each")

spoken = client.infer("hibari_tts", [texts("text", [b"Hello. This is how I sound."])])
heard = client.infer("whisper_tiny_en", [texts("audio", [spoken.as_numpy("audio")[0]])])
print("A text, spoken and heard again:", heard.as_numpy("text")[0].decode())

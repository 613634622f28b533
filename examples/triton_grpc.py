"""The same over gRPC, which SIDECAR_GRPC_PORT turns on, with many calls at once.

Usage: examples/triton_grpc.py [HOST:PORT]
"""

import asyncio
import sys

import numpy as np
from tritonclient.grpc import InferInput
from tritonclient.grpc.aio import InferenceServerClient

SERVER = sys.argv[1] if len(sys.argv) > 1 else "localhost:8001"


def texts(name: str, values: list[bytes]) -> InferInput:
    tensor = InferInput(name, [len(values)], "BYTES")
    tensor.set_data_from_numpy(np.array(values, np.object_))
    return tensor


async def main() -> None:
    async with InferenceServerClient(SERVER) as client:
        row = InferInput("input", [1, 10], "FP32")
        row.set_data_from_numpy(np.ones((1, 10), np.float32))
        # They share batches.  A time-out is in microseconds.
        calls = [client.infer("example", [row], timeout=5_000_000) for _ in range(32)]
        answers = [answer.as_numpy("output")[0, 0] for answer in await asyncio.gather(*calls)]
        print(f"{len(answers)} calls at once: {answers[0]:.4f} each")

        spoken = await client.infer("hibari_tts", [texts("text", [b"Hello. This is how I sound."])])
        audio = spoken.as_numpy("audio")[0]
        heard = await client.infer("whisper_tiny_en", [texts("audio", [audio])])
        print("A text, spoken and heard again:", heard.as_numpy("text")[0].decode())


asyncio.run(main())

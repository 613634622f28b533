"""Completions of a loaded handler, turn by turn, with the pieces that left on the way."""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from handler_kit.pieces import MAGIC
from sidecar.scheduling import job_format as dispatcher
from tests.handlers.loaded import FakeContext, Loaded
from text_handler import TextHandler

_PREFIX = struct.Struct(">4sI")


class Wire:
    """What stands for the socket to TorchServe: it keeps what is sent."""

    def __init__(self) -> None:
        self.data = b""

    def sendall(self, data: bytes | bytearray) -> None:
        self.data += data


class StreamContext(FakeContext):
    """TorchServe's context with the socket that intermediate answers go to."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        super().__init__(folder, config)
        self.request_ids = {0: "request"}
        self.cl_socket = Wire()
        self.stopping_criteria = None
        self._headers: dict[str, str] = {}

    def set_response_header(self, idx: int, key: str, value: str) -> None:
        self._headers[key] = value

    def get_response_headers(self, idx: int) -> dict[str, str]:
        return self._headers

    def get_response_content_type(self, idx: int) -> str:
        return self.content_types[idx]

    def get_response_status(self, idx: int) -> tuple[int, str]:
        return 200, ""

    def frames(self) -> list[list[list[Any]]]:
        """Return the pieces of each step that left since this was asked last."""
        data, self.cl_socket.data = self.cl_socket.data, b""
        found = []
        while (place := data.find(MAGIC)) >= 0:
            _, length = _PREFIX.unpack_from(data, place)
            start = place + _PREFIX.size
            found.append(msgspec.json.decode(data[start : start + length]))
            data = data[start + length :]
        return found


class Turn(NamedTuple):
    """What came of one turn of each completion, and the frames that had left before."""

    answers: list[Any]
    errors: list[str | None]
    frames: list[list[list[Any]]]


class Completing:
    """A handler whose completions are asked for as the sidecar does."""

    def __init__(self, folder: Path, **options: Any) -> None:
        config = options.pop("config", {})
        given = {"task": "text_generation"} | options
        settings = {"options": given, "warmup_iterations": 0} | config
        self.context = StreamContext(folder, settings | {"max_batch_size": 8, "workers": 2})
        self.loaded = Loaded(TextHandler(), self.context)

    def turn(self, *items: tuple[dict[str, Any], dict[str, Any]]) -> Turn:
        """Ask for one turn of each of *items*: an order, and how far it has come."""
        bodies = [msgspec.json.encode(order) for order, _ in items]
        headers = [
            dispatcher.ItemHeader(
                id=str(place), length=len(body), type="completion", parameters=items[place][1]
            )
            for place, body in enumerate(bodies)
        ]
        job = dispatcher.encode_job(headers, bodies)
        answer = self.loaded.rows({"body": bytearray(job)})[0]
        header, made = dispatcher.decode_answer(answer, len(items))
        return Turn(
            [msgspec.json.decode(body) if body else None for body in made],
            [item.error for item in header.items],
            self.context.frames(),
        )

    def written(self, *orders: dict[str, Any], choices: Sequence[int] = ()) -> list[dict[str, Any]]:
        """Return the whole of each of *orders*, in as many turns as it takes.

        *tokens* are those of all turns, *turns* how many it took.
        """
        states = [
            {"choice": choices[place] if choices else 0, "written": []}
            for place in range(len(orders))
        ]
        ended: list[dict[str, Any] | None] = [None] * len(orders)
        turns = 0
        while None in ended:
            turns += 1
            left = [place for place, each in enumerate(ended) if each is None]
            turn = self.turn(*[(orders[place], states[place]) for place in left])
            assert turn.errors == [None] * len(left)
            for place, answer in zip(left, turn.answers, strict=True):
                states[place]["written"] += answer["tokens"]
                if answer["finish_reason"] is not None:
                    ended[place] = answer | {"tokens": states[place]["written"], "turns": turns}
        return [each for each in ended if each is not None]

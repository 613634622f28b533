"""Answers to jobs as they come over a connection: in any number of pieces."""

import asyncio
from pathlib import Path

import pytest

from sidecar.torchserve.job_connections import JobConnections


@pytest.mark.parametrize("pieces", [1, 2, 60])
async def test_an_answer_may_come_in_many_pieces(tmp_path: Path, pieces: int) -> None:
    body = bytes(range(256)) * 2048

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await reader.readuntil(b"\r\n\r\njob")
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode())
            for start in range(0, len(body), len(body) // pieces):
                writer.write(body[start : start + len(body) // pieces])
                await writer.drain()
        writer.close()

    path = tmp_path / "torchserve"
    async with await asyncio.start_unix_server(answer, path) as server:
        connections = JobConnections(f"unix:{path}", most=1)
        for _ in range(2):
            assert await connections.post("/predictions/model", b"job", {}, 5) == (200, body)
        connections.close()
        server.close()

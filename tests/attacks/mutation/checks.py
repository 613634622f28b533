"""Sends mutated requests and looks at every answer."""

import asyncio
from collections.abc import Iterable, Mapping

from tests.attacks.error_format import fault_of_error
from tests.attacks.mutation.requests import Mutated, mutated
from tests.attacks.raw_http import NO_ANSWER, Answer, exchange
from tests.waiting import LIMIT_SECONDS

AT_ONCE = 6
SHOWN_BYTES = 400  # of a request
SHOWN = 20  # wrong answers
# What says no in a body of its own: that is an answer, and no refusal of the request.
UNREADY: Mapping[str, int] = {
    "/health": 503,
    "/readyz": 503,
    "/v2/health/ready": 503,
    "/v2/models/{name}/ready": 503,
    "/v2/models/{name}/versions/{version}/ready": 503,
    "/ping": 500,  # as TorchServe has it
}


async def send_mutated(port: int, numbers: Iterable[int], seed: int) -> list[int]:
    """The statuses.  Raises AssertionError with the first that were wrong."""
    left, statuses, wrong = iter(numbers), list[int](), list[str]()

    async def client() -> None:
        for number in left:
            request = mutated(seed, number)
            answer, problem = await _ask(port, request)
            statuses.append(answer.status)
            if problem := problem or fault_of(request, answer):
                wrong.append(f"{request.name}: {problem}: {_shown(request.data)!r}")

    await asyncio.gather(*(client() for _ in range(AT_ONCE)))
    assert not wrong, f"{len(wrong)} of {len(statuses)} answers are wrong; the first: " + "; ".join(
        wrong[:SHOWN]
    )
    return [status for status in statuses if status]


def _shown(data: bytes) -> bytes:
    """The beginning of a request, without the credential that they all have."""
    lines = [
        line for line in data.split(b"\r\n") if not line.startswith(b"Authorization: Bearer ey")
    ]
    return b"\r\n".join(lines)[:SHOWN_BYTES]


async def _ask(port: int, request: Mutated) -> tuple[Answer, str]:
    """The answer, and what went wrong before there was one."""
    try:
        answer = await exchange(
            port, request.data, seconds=LIMIT_SECONDS, half_close=not request.whole
        )
    except TimeoutError:
        return NO_ANSWER, f"no answer within {LIMIT_SECONDS:g} s"
    except ValueError as exc:
        return NO_ANSWER, f"the answer is not HTTP: {exc}"
    return answer, ""


def fault_of(request: Mutated, answer: Answer) -> str:
    """What is wrong with *answer*; empty: nothing."""
    if answer.status == 0:
        return "cut off" if request.whole else ""
    says_no = answer.status == UNREADY.get(request.path)
    if answer.status >= 500 and answer.status not in (503, 504) and not says_no:
        return f"status {answer.status} {answer.body[:200]!r}"
    if "X-Request-ID" not in answer.headers:
        return f"status {answer.status} without X-Request-ID {answer.body[:100]!r}"
    if answer.status < 400 or says_no:
        return ""
    return fault_of_error(answer)

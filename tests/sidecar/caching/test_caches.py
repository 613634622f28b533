"""What is kept, for how long, and for whom it is computed."""

import asyncio
from typing import NamedTuple

import pytest

from sidecar.caching.answer_cache import AnswerCache
from sidecar.caching.lookups import Lookups
from sidecar.caching.result_cache import ResultCache, digest
from sidecar.caching.single_flight import SingleFlight
from sidecar.caching.snapshot import Snapshot


class Answer(NamedTuple):
    text: str
    size: int = 10


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_most_recently_used_answers_stay() -> None:
    cache: AnswerCache[Answer] = AnswerCache(max_bytes=30, max_seconds=60)
    for name in "abc":
        cache.put(name.encode(), Answer(name), now=0)
    assert cache.get(b"a", now=1) == Answer("a")
    cache.put(b"d", Answer("d"), now=2)
    assert cache.get(b"b", now=3) is None
    assert [cache.get(key, now=3) for key in (b"a", b"c", b"d")] == [
        Answer("a"),
        Answer("c"),
        Answer("d"),
    ]
    assert cache.bytes == 30


def test_an_answer_is_forgotten_when_it_is_old() -> None:
    cache: AnswerCache[Answer] = AnswerCache(max_bytes=30, max_seconds=60)
    cache.put(b"a", Answer("a"), now=0)
    assert cache.get(b"a", now=59.9)
    assert cache.get(b"a", now=60) is None
    assert (len(cache), cache.bytes) == (0, 0)


def test_an_answer_larger_than_the_cache_is_not_kept_and_evicts_nothing() -> None:
    cache: AnswerCache[Answer] = AnswerCache(max_bytes=30, max_seconds=60)
    cache.put(b"a", Answer("a"), now=0)
    cache.put(b"b", Answer("b", size=31), now=0)
    assert cache.get(b"a", now=1)
    assert cache.get(b"b", now=1) is None


def test_a_newer_answer_takes_the_place_of_an_older_one() -> None:
    cache: AnswerCache[Answer] = AnswerCache(max_bytes=30, max_seconds=60)
    cache.put(b"a", Answer("old"), now=0)
    cache.put(b"a", Answer("new", size=20), now=0)
    assert cache.get(b"a", now=1) == Answer("new", 20)
    assert cache.bytes == 20


class InferenceRequest:
    """Computes when it is let."""

    def __init__(self) -> None:
        self.begun = 0
        self.gate = asyncio.Event()
        self.failures: list[Exception] = []

    async def __call__(self) -> Answer:
        self.begun += 1
        number = self.begun
        await self.gate.wait()
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)
        return Answer(f"answer {number}")


async def test_equal_questions_are_computed_once() -> None:
    flight, work = SingleFlight[Answer](), InferenceRequest()
    asked = [asyncio.create_task(flight.run(b"q", work)) for _ in range(5)]
    await asyncio.sleep(0)
    work.gate.set()
    answers = await asyncio.gather(*asked)
    assert work.begun == 1
    assert [shared for _, shared in answers] == [False, True, True, True, True]
    assert {answer for answer, _ in answers} == {Answer("answer 1")}


async def test_other_questions_are_not_held_up() -> None:
    flight, work, other = SingleFlight[Answer](), InferenceRequest(), InferenceRequest()
    waiting = asyncio.create_task(flight.run(b"q", work))
    other.gate.set()
    assert (await flight.run(b"other", other))[0] == Answer("answer 1")
    waiting.cancel()


async def test_a_failed_computation_is_repeated_by_the_next_waiter() -> None:
    flight, work = SingleFlight[Answer](), InferenceRequest()
    work.failures = [ValueError("the first one's own")]
    asked = [asyncio.create_task(flight.run(b"q", work)) for _ in range(3)]
    await asyncio.sleep(0)
    work.gate.set()
    first, *others = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(first, ValueError)
    assert [other[1] for other in others if isinstance(other, tuple)] == [False, True]
    assert work.begun == 2


async def test_the_next_waiter_computes_when_the_first_leaves() -> None:
    flight, work = SingleFlight[Answer](), InferenceRequest()
    first, second = (asyncio.create_task(flight.run(b"q", work)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    work.gate.set()
    assert await second == (Answer("answer 2"), False)


async def test_a_leaving_waiter_does_not_disturb_the_computation() -> None:
    flight, work = SingleFlight[Answer](), InferenceRequest()
    first, second = (asyncio.create_task(flight.run(b"q", work)) for _ in range(2))
    await asyncio.sleep(0)
    second.cancel()
    work.gate.set()
    assert await first == (Answer("answer 1"), False)


async def test_a_result_is_computed_then_cached_and_both_are_counted() -> None:
    lookups, work, clock = Lookups(), InferenceRequest(), Clock()
    results = ResultCache(lookups, max_bytes=100, max_seconds=60, clock=clock)
    work.gate.set()
    assert lookups.hit_rate is None
    assert await results.get(b"q", work) == (Answer("answer 1"), "computed")
    assert await results.get(b"q", work) == (Answer("answer 1"), "cached")
    assert lookups.hit_rate == 0.5
    assert await results.renew(b"q", work) == (Answer("answer 2"), "computed")
    assert await results.get(b"q", work) == (Answer("answer 2"), "cached")
    clock.now += 60
    assert await results.get(b"q", work) == (Answer("answer 3"), "computed")


async def test_an_uncacheable_answer_is_neither_kept_nor_shared() -> None:
    results, work = ResultCache(Lookups(), max_bytes=100, max_seconds=60), InferenceRequest()
    asked = [
        asyncio.create_task(results.get(b"q", work, lambda answer: answer.text != "answer 1"))
        for _ in range(3)
    ]
    await asyncio.sleep(0)
    work.gate.set()
    assert [origin for _, origin in await asyncio.gather(*asked)] == [
        "computed",
        "computed",
        "coalesced",
    ]


@pytest.mark.parametrize(
    ("one", "other"), [((b"ab", b"c"), (b"a", b"bc")), ((b"a",), (b"a", b"")), ((), (b"",))]
)
def test_keys_of_different_requests_differ(
    one: tuple[bytes, ...], other: tuple[bytes, ...]
) -> None:
    assert digest(one) != digest(other)
    assert digest(one) == digest(one)


async def test_a_page_is_computed_once_until_it_is_old() -> None:
    clock, pages = Clock(), iter([b"one", b"two", b"three"])

    async def compute() -> bytes:
        return next(pages)

    snapshot = Snapshot(Lookups(), seconds=1.0, clock=clock)
    first = await snapshot.get(compute)
    clock.now += 0.9
    assert await snapshot.get(compute) is first
    clock.now += 0.2
    second = await snapshot.get(compute)
    assert (second.body, second.etag != first.etag) == (b"two", True)
    assert (await snapshot.get(compute, fresh=True)).body == b"three"

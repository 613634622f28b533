"""The mutated requests themselves: they cover all routes, and can be made again."""

import pytest

from sidecar.routes.groups import ROUTES
from tests.attacks.mutation.checks import UNREADY, fault_of
from tests.attacks.mutation.examples import examples
from tests.attacks.mutation.requests import Mutated, mutated
from tests.attacks.raw_http import Answer

SENT = Mutated("1:1", "POST", "/predict", b"", whole=True)
ID = {"X-Request-ID": "a"}


@pytest.mark.parametrize("route", [(route.method, route.path) for route in ROUTES], ids=" ".join)
def test_every_route_has_an_example(route: tuple[str, str]) -> None:
    assert examples(route)


def test_request_numbers_cover_all_routes() -> None:
    assert {mutated(1, number).path for number in range(len(ROUTES))} == {
        route.path for route in ROUTES
    }


def test_a_request_depends_on_its_seed_and_number_alone() -> None:
    once = [mutated(5, number).data for number in (2, 1, 0)]
    again = [mutated(5, number).data for number in (0, 1, 2)]
    assert once == again[::-1]
    assert once != [mutated(6, number).data for number in (2, 1, 0)]


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (Answer(0, {}, b""), "cut off"),
        (Answer(500, ID, b"{}"), "status 500"),
        (Answer(400, {}, b"{}"), "X-Request-ID"),
        (Answer(400, ID, b"Bad Request"), "not JSON"),
        (Answer(400, ID, b'{"success":false}'), "one format"),
    ],
)
def test_a_wrong_answer_is_found(answer: Answer, fault: str) -> None:
    assert fault in fault_of(SENT, answer)


@pytest.mark.parametrize(("path", "status"), UNREADY.items())
def test_what_tells_of_readiness_may_say_no_in_a_body_of_its_own(path: str, status: int) -> None:
    assert ("GET", path) in {(route.method, route.path) for route in ROUTES}
    asked = SENT._replace(method="GET", path=path)
    assert fault_of(asked, Answer(status, ID, b'{"ready":false}')) == ""
    assert fault_of(SENT, Answer(status, ID, b'{"ready":false}'))
    assert fault_of(asked, Answer(404, ID, b'{"ready":false}'))


def test_a_refusal_in_the_one_format_is_right() -> None:
    body = b'{"success":false,"error":"a","detail":"b","status_code":400}'
    assert fault_of(SENT, Answer(400, ID, body)) == ""
    assert "one format" in fault_of(SENT, Answer(422, ID, body))

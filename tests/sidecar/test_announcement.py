"""What an operator reads first."""

from sidecar.announcement import starting
from sidecar.settings import Settings


def test_a_server_for_others_says_which_hosts_it_answers_and_what_adds_one() -> None:
    settings = Settings(host="0.0.0.0", allowed_hosts=("api.example",))
    assert starting(settings).splitlines() == [
        "Starting on http://0.0.0.0:8000 ...",
        "Answers requests to any address, api.example, localhost; SIDECAR_ALLOWED_HOSTS adds names",
    ]


def test_a_server_for_this_machine_alone_says_nothing_of_hosts() -> None:
    assert starting(Settings()) == "Starting on http://127.0.0.1:8000 ..."

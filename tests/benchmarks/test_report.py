"""Tables, sections of documents, what a run leaves in them, and what is pinned for the peers."""

import re
from pathlib import Path

import pytest

from benchmarks.__main__ import DOCUMENT, INTERRUPTED, PARTS, Part, main
from benchmarks.answers import far_vectors, misheard, other_lengths
from benchmarks.effort import Effort
from benchmarks.peers.environments import HERE
from benchmarks.peers.example_servers import EXAMPLE_SERVERS
from benchmarks.report import Report, number, publish, table, write_section

REQUIREMENTS = sorted((HERE / "requirements").glob("*.txt"))


def test_a_section_is_written_between_its_marks_alone(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text(
        "before\n<!-- one: begin -->\nold\n<!-- one: end -->\nbetween\n"
        "<!-- two: begin -->\nkept\n<!-- two: end -->\nafter\n"
    )
    write_section("one", "new", document)
    write_section("one", "newer", document)
    assert document.read_text() == (
        "before\n<!-- one: begin -->\n\nnewer\n\n<!-- one: end -->\nbetween\n"
        "<!-- two: begin -->\nkept\n<!-- two: end -->\nafter\n"
    )


@pytest.mark.parametrize("text", ["nothing", "<!-- one: begin -->\n"])
def test_a_document_without_the_section_is_left_as_it_is(tmp_path: Path, text: str) -> None:
    document = tmp_path / "performance.md"
    document.write_text(text)
    with pytest.raises(ValueError, match="has no section 'one'"):
        write_section("one", "new", document)
    assert document.read_text() == text


def test_a_report_without_plots_needs_no_environment(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text("<!-- idle: begin -->\n<!-- idle: end -->\n")
    publish("idle", Report("some text"), document, tmp_path / "environments")
    assert "some text" in document.read_text()
    assert not (tmp_path / "environments").exists()


def test_a_table_is_markdown() -> None:
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(12345.6, "12,346"), (123.4, "123"), (12.34, "12.3"), (1.234, "1.23"), (0.1234, "0.123")],
)
def test_figures_are_rounded_to_three_significant_digits(value: float, shown: str) -> None:
    assert number(value) == shown


@pytest.mark.parametrize("part", PARTS)
def test_the_document_has_a_section_for_every_part(part: str) -> None:
    assert f"<!-- {part}: begin -->\n" in DOCUMENT.read_text()


def test_unknown_parts_are_refused_before_anything_runs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["idle", "nonsense"])
    assert "['nonsense']" in capsys.readouterr().err


@pytest.fixture
def document(tmp_path: Path) -> Path:
    """A document with a block for each of two parts, which hold older tables."""
    path = tmp_path / "performance.md"
    blocks = (f"<!-- {name}: begin -->\nold\n<!-- {name}: end -->\n" for name in ("idle", "wakes"))
    path.write_text("".join(blocks))
    return path


async def _broken(_: Effort) -> Report:
    raise RuntimeError("wrk ended\nwith `1`")


async def _sound(effort: Effort) -> Report:
    return Report(f"{effort.rounds} rounds of {effort.seconds:g} s")


async def _interrupted(_: Effort) -> Report:
    raise KeyboardInterrupt("SIGTERM")


def test_a_part_that_fails_says_so_in_its_block_and_leaves_the_others_their_turn(
    document: Path,
) -> None:
    parts = {"idle": Part("", _broken, 1), "wakes": Part("", _sound, 1, seconds=4)}
    assert main(["--all", "--rounds", "7"], parts, document) == 1
    failed, well = document.read_text().split("<!-- idle: end -->\n")
    assert "This part could not be measured: `RuntimeError: wrk ended with '1'`\n" in failed
    assert "7 rounds of 4 s" in well
    assert "old" not in document.read_text()


def test_a_run_in_which_every_part_was_measured_exits_with_0(document: Path) -> None:
    parts = {"idle": Part("", _sound, 1), "wakes": Part("", _sound, 1)}
    assert main(["--all"], parts, document) == 0


def test_all_is_everything_but_the_hour_of_memory(
    document: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = {"idle": Part("", _sound, 1), "memory": Part("", _broken, 61)}
    assert main(["--all", "--print-only"], parts, document) == 0
    assert "## memory" not in capsys.readouterr().out


def test_a_run_that_is_interrupted_writes_nothing_more(document: Path) -> None:
    parts = {"idle": Part("", _interrupted, 1), "wakes": Part("", _sound, 1)}
    before = document.read_text()
    assert main(["--all"], parts, document) == INTERRUPTED
    assert document.read_text() == before


def test_what_a_run_printed_can_be_published_later(
    document: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = {"idle": Part("", _broken, 1), "wakes": Part("", _sound, 1)}
    main(["--all", "--print-only"], parts, document)
    assert document.read_text().count("old") == 2
    printed = tmp_path / "printed"
    captured = capsys.readouterr()
    printed.write_text(f"12:00:00  wakes: about 1 minutes\n{captured.out}")
    assert main(["--publish", str(printed)], parts, document) == 0
    text = document.read_text()
    assert "could not be measured" in text
    assert "3 rounds of 2 s" in text
    assert "about 1 minutes" not in text


def test_a_file_without_a_part_is_not_published(document: Path, tmp_path: Path) -> None:
    before = document.read_text()
    (tmp_path / "printed").write_text("nothing")
    assert main(["--publish", str(tmp_path / "printed")], PARTS, document) == 1
    assert document.read_text() == before


def test_all_parts_together_take_no_more_than_35_minutes() -> None:
    assert sum(part.minutes for name, part in PARTS.items() if name != "memory") <= 35
    assert all(part.rounds >= 3 for part in PARTS.values())


@pytest.mark.parametrize("file", REQUIREMENTS, ids=lambda file: file.stem)
def test_every_package_of_a_peer_is_pinned(file: Path) -> None:
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[\w.\[\]-]+==[\w.]+", line)] == []


def test_every_server_of_the_example_has_its_requirements() -> None:
    names = {file.stem for file in REQUIREMENTS}
    assert {each.environment for each in EXAMPLE_SERVERS} <= names


def test_vectors_must_be_near_those_in_fp32() -> None:
    right = [[1.0, 0.0], [0.0, 1.0]]
    assert far_vectors(right, right) is None
    assert far_vectors([[1.0, 0.0], [1.0, 0.0]], right) == "a cosine of 0.0000 to fp32"


def test_transcripts_must_have_the_words_that_were_said() -> None:
    assert misheard(["She paid five dollars."], ["she paid $5"]) is None
    assert misheard(["nothing of it"], ["she paid five dollars"]) == "word error rate 1.00"


def test_speech_must_stay_as_long_as_when_it_was_heard() -> None:
    assert other_lengths([1.0, 2.05], [1.0, 2.0]) is None
    assert other_lengths([2.0], [1.0]) == "the speech's length changed by 100%"

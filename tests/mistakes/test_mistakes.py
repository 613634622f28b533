"""Every typical mistake gets one sentence, and the document shows just these."""

from pathlib import Path

import pytest

from tests.mistakes.made import MISTAKES, Mistake, told
from tests.mistakes.table import DOCUMENT, row


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.what)
def test_a_mistake_is_told_in_one_sentence_as_the_document_has_it(mistake: Mistake) -> None:
    line = row(mistake, told(mistake))
    assert "\n" not in line
    assert str(Path.cwd()) not in line
    assert line in DOCUMENT.read_text(encoding="utf-8").splitlines()


def test_the_document_lists_no_other_mistakes() -> None:
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")]
    assert len(rows) == len(MISTAKES) + 1  # its head

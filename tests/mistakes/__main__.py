"""`python -m tests.mistakes`: makes every mistake, and writes the table in docs/mistakes.md."""

import os
import tempfile

from benchmarks.report import write_section
from tests.mistakes.made import MISTAKES, told
from tests.mistakes.table import DOCUMENT, HEAD, row

rows = []
for mistake in MISTAKES:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        rows.append(row(mistake, told(mistake)))
        os.chdir(DOCUMENT.parent)
write_section("mistakes", HEAD + "\n".join(rows), DOCUMENT)

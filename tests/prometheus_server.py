"""A real Prometheus that scrapes servers every second and judges them by our alerts."""

import json
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from tests.integration.server import ROOT, free_port
from tests.needs import need_program
from tests.waiting import LIMIT_SECONDS, block_until

ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: torchserve-sidecar
    file_sd_configs: [{{files: [{targets}], refresh_interval: 1s}}]
"""


class PrometheusServer:
    """Keeps all it has in *folder*.  Alerts look back *window* in place of minutes."""

    def __init__(self, folder: Path, *, window: str | None = None) -> None:
        self._folder = folder
        self._program = need_program("prometheus")
        self._port = free_port()
        self._targets = folder / "targets.json"
        self.aim_at([])
        rules = ALERTS.read_text().replace("interval: 5s", "interval: 1s")
        if window is not None:
            rules = rules.replace("[2m]", f"[{window}]").replace("[1m]", f"[{window}]")
        (folder / "alerts.yml").write_text(rules)
        config = CONFIG.format(rules=folder / "alerts.yml", targets=self._targets)
        (folder / "prometheus.yml").write_text(config)

    def aim_at(self, ports: Iterable[int]) -> None:
        """Scrape the servers on *ports* of this machine from now on."""
        targets = [f"127.0.0.1:{port}" for port in ports]
        new = self._targets.with_suffix(".new")
        new.write_text(json.dumps([{"targets": targets}]))
        new.replace(self._targets)

    @contextmanager
    def running(self) -> Iterator["PrometheusServer"]:
        """Run it until the block ends."""
        command = [
            self._program,
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
            "--log.level=warn",
        ]
        with (self._folder / "output.log").open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            block_until(lambda: self._is_ready() or process.poll() is not None)
            assert process.poll() is None, (self._folder / "output.log").read_text()
            yield self
        finally:
            process.terminate()
            process.wait(LIMIT_SECONDS)

    def _is_ready(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self._port}/-/ready", timeout=LIMIT_SECONDS) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the result of *expression* now."""
        address = f"http://127.0.0.1:{self._port}/api/v1/query"
        with urlopen(
            f"{address}?{urlencode({'query': expression})}", timeout=LIMIT_SECONDS
        ) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire now."""
        return {each["metric"]["alertname"] for each in self.query('ALERTS{alertstate="firing"}')}

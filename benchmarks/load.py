"""Load by wrk, which costs the machine little beside what it measures."""

import random
import re
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
{headers}
bodies = {{ {bodies} }}
local next = 0
request = function()
  next = next % #bodies + 1
  return wrk.format(nil, nil, nil, bodies[next])
end
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %d %.1f %.1f\\n", summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""


class Load(NamedTuple):
    """One run.  Latencies in milliseconds."""

    requests: int
    per_second: float
    failed: int
    p50_ms: float
    p99_ms: float


def run_load(
    url: str, bodies: list[str], headers: dict[str, str], *, connections: int, seconds: float
) -> Load:
    """Posts *bodies* in turn to *url* over *connections* for *seconds*."""
    lines = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items())
    quoted = ", ".join(_quoted(body) for body in bodies)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(SCRIPT.format(headers=lines, bodies=quoted))
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "30s"]
        said = subprocess.run(
            [*command, "-s", script.name, url], capture_output=True, text=True, check=True
        ).stdout
    found = re.search(r"RESULT (\d+) (\d+) (\d+) ([\d.]+) ([\d.]+)", said)
    assert found, said
    requests, microseconds, failed = (int(found[index]) for index in (1, 2, 3))
    rate = requests / (microseconds / 1e6)
    return Load(requests, rate, failed, float(found[4]) / 1000, float(found[5]) / 1000)


def texts(count: int, seed: int = 7) -> list[str]:
    """*count* English texts of 3 to 200 words, in the mix that people send: most are short."""
    chance = random.Random(seed)
    words = Path(__file__).with_name("words.txt").read_text().split()
    lengths = [min(200, max(3, int(chance.lognormvariate(2.9, 0.9)))) for _ in range(count)]
    return [" ".join(chance.choices(words, k=length)) for length in lengths]


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

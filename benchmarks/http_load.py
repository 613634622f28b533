"""Load by wrk, which costs the machine little beside what it measures."""

import asyncio
import re
import shutil
import tempfile

from benchmarks.progress import tell
from benchmarks.turns import Answers

# Every answer is looked at: the number in it must be the one that is expected.  Of those that are
# no success the first one is told.
SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = {body}
wrong = 0
refused = ""
response = function(status, headers, body)
  local number = tonumber(string.match(body, {pattern}))
  if status ~= 200 then
    if refused == "" then refused = status .. " " .. string.sub(body, 1, 200) end
  elseif not number or math.abs(number - {expected}) > {tolerance} then
    wrong = wrong + 1
  end
end
local threads = {{}}
setup = function(thread) table.insert(threads, thread) end
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %d %.1f %.1f %d\\n", summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99), threads[1]:get("wrong")))
  io.write("REFUSED " .. string.gsub(threads[1]:get("refused"), "%s+", " ") .. "\\n")
end
"""
TOLERANCE = 1e-3  # of a number between 0 and 1, in bf16 too


async def run_load(
    url: str, body: str, pattern: str, expected: float, *, connections: int, seconds: float
) -> Answers:
    """Post *body* to *url* over *connections* for *seconds*.

    Lua's *pattern* captures the number in an answer that must be *expected*.  Raises
    FileNotFoundError where wrk is not installed.
    """
    if shutil.which("wrk") is None:
        raise FileNotFoundError("this part needs wrk (your system's package of that name)")
    script = SCRIPT.format(
        body=_quoted(body), pattern=_quoted(pattern), expected=expected, tolerance=TOLERANCE
    )
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        load = ("-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s")
        said = await _output("wrk", *load, "-s", file.name, url)
    found = re.search(r"RESULT (\d+) (\d+) (\d+) ([\d.]+) ([\d.]+) (\d+)", said)
    if found is None:
        raise RuntimeError(f"wrk: {said}")
    requests, microseconds, failed, wrong = (int(found[index]) for index in (1, 2, 3, 6))
    refused = said.partition("REFUSED ")[-1].strip()
    if refused:
        tell(f"    {url}: {refused}")
    return Answers(
        requests - failed,
        microseconds / 1e6,
        float(found[4]) / 1000,
        float(found[5]) / 1000,
        failed,
        f"{wrong} of {requests} answers were not {expected:.4f}" if wrong else None,
    )


async def _output(*command: str) -> str:
    """Return what *command* prints.  It does not outlive a caller that is cancelled."""
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}")
    return said.decode()


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

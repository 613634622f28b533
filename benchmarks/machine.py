"""The machine that the numbers were measured on."""

import os
import platform
from pathlib import Path

FLAGS = (  # what decides how fast networks run on a CPU
    "avx2",
    "fma",
    "avx_vnni",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_tile",
    "amx_int8",
    "amx_bf16",
)


def description() -> str:
    """Return the CPU's name, its relevant flags, and its load."""
    facts = _cpu_facts()
    name = facts.get("model name") or platform.processor() or platform.machine()
    has = facts.get("flags", "").split()
    flags = " ".join(flag for flag in FLAGS if flag in has) or "none of them"
    absent = " ".join(flag for flag in FLAGS if flag not in has)
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return f"{name}, {len(cores())} processors ({flags}; not {absent}); load before: {load}"


def cores() -> list[int]:
    """The processors that this process may use."""
    return sorted(os.sched_getaffinity(0))


def _cpu_facts() -> dict[str, str]:
    """What /proc/cpuinfo tells of the first processor; nothing where there is no such file."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return {}
    first = path.read_text().partition("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}

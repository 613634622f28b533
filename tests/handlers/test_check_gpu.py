"""`scripts/check_gpu`, its checks run on the CPU: it never had a GPU."""

from pathlib import Path

import pytest
import torch

from benchmarks import check_gpu
from benchmarks.check_gpu import Finding, main

CPU = torch.device("cpu")


def test_a_missing_gpu_has_its_own_sentence_and_exit_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([]) == check_gpu.NO_GPU
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("check_gpu: there is no GPU that could be checked: ")


def test_success_exits_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--device", "cpu", "--quick", "--family", "text classification"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "all is right"
    told = "\n".join(lines)
    for check in (
        "text classification: fp32 as on the CPU      right",
        "text classification: auto                    right  fp32",
        "text classification: alone as in a batch     right",
        "memory after unloading                       right",
        "out of memory                                right  [200, 503], then [200]",
        "throughput, padded, eager",
        "throughput, packed, eager",
    ):
        assert check in told


def test_a_failed_check_is_reported_and_the_others_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def same_as_cpu(*_: object) -> list[Finding]:
        raise RuntimeError("no kernel image is available")

    monkeypatch.setattr(check_gpu, "same_as_cpu", same_as_cpu)
    monkeypatch.setattr(check_gpu, "near", lambda *_: False)
    assert main(["--device", "cpu", "--quick", "--family", "tensors"]) == 1
    out = capsys.readouterr().out
    assert "WRONG  RuntimeError: no kernel image is available" in out
    assert "tensors: alone as in a batch                 WRONG" in out
    assert out.endswith("2 wrong\n")


def test_a_compile_in_its_own_process_is_reported(tmp_path: Path) -> None:
    """ "auto" compiles nothing on a CPU."""
    assert check_gpu.compile_once(CPU, tmp_path) == "compile False, answered"

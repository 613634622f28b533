"""Exports a Whisper checkpoint to ONNX and rounds it to int8: `export_whisper.py FOLDER OUT`."""

import sys
from pathlib import Path

from onnxruntime.quantization import (  # type: ignore[import-untyped]
    QuantType,
    quantize_dynamic,
)
from optimum.exporters.onnx import main_export

PARTS = ("encoder_model", "decoder_model_merged")


def main(folder: str, output: str) -> None:
    """Write the files that onnx-asr reads."""
    main_export(folder, output, task="automatic-speech-recognition-with-past")
    for part in PARTS:
        quantize_dynamic(
            Path(output, f"{part}.onnx"),
            Path(output, f"{part}.int8.onnx"),
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["MatMul"],
            extra_options={"EnableSubgraph": True},
        )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])

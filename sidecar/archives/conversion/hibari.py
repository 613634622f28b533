"""hibari's network: int8 ONNX as the hibari-tts wheel carries it, in the two forms that are run.

As safetensors in fp32, for torch, and as three ONNX graphs, for onnxruntime on CPUs.  The published
graph goes from symbols to sound in one piece; cut into three, tempo, pitch and emotion find their
places in between.  They stay in int8 but for the prosody network: there a duration in fifty would
be rounded to another step, and pitch would drift.

Most weights stand in the file under their PyTorch names.  The quantised ones are those of
MatMulInteger nodes: int8 values with a scale and a zero point, [in, out]; whose they are tells
the bias that is added to the product.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper, shape_inference
from onnx.utils import Extractor
from safetensors.numpy import save_file

NETWORK, VOCABULARY = "hibari.onnx", "vocab.json"
WORDS = {  # of the file's names, in ours
    "m": "acoustic",
    "pn": "prosody",
    "emb": "embedding",
    "convs": "blocks",
    "attn": "layer",
    "dur": "duration",
    "pro_in": "contour_input",
    "pro": "contour",
    "pro_out": "contour_output",
    "dec_in": "decoder_input",
    "dec": "decoder",
    "dec_norm": "decoder_norm",
    "dw": "depthwise",
    "pw1": "expand",
    "pw2": "contract",
    "gamma": "scale",
}
_QUANTISED = "_quantized"

GRAPHS = {  # the published one's parts: between which of its tensors each lies
    "texts.onnx": (
        "ids",
        ["/Transpose_22_output_0", "/Transpose_55_output_0", "/dur/dur.2/Conv_output_0"],
    ),
    "contours.onnx": ("/Gather_33_output_0", ["/pro_out/Conv_output_0"]),
    "frames.onnx": ("/Concat_43_output_0", ["/head/Add_output_0"]),
}

Array = np.ndarray[Any, Any]


def convert(source: Path, target: Path) -> None:
    """Write both forms and `vocab.json` into *target* from the files in *source*.

    Raises ValueError when they are not hibari's.
    """
    for name in (NETWORK, VOCABULARY):
        if not (source / name).is_file():
            raise ValueError(f"there is no {name}")
    model = onnx.load(source / NETWORK)
    tensors = _tensors(model.graph)
    if "acoustic.text.embedding.weight" not in tensors:
        raise ValueError(f"{NETWORK} does not hold hibari's network")
    save_file(tensors, target / "model.safetensors")
    _dequantise_prosody(model.graph)
    published = Extractor(shape_inference.infer_shapes(model))
    for graph, (given, made) in GRAPHS.items():
        onnx.save(published.extract_model([given], made), target / graph)
    shutil.copyfile(source / VOCABULARY, target / VOCABULARY)


def _tensors(graph: Any) -> dict[str, Array]:
    """Return all weights by their names in our network."""
    stored = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    named = {name: array for name, array in stored.items() if name.startswith(("m.", "pn."))}
    adds = [node for node in graph.node if node.op_type == "Add"]
    for node in graph.node:
        if node.op_type == "MatMulInteger":
            bias = _bias_of(node, adds, stored)
            named[bias.removesuffix("bias") + "weight"] = _dequantised(node.input[1], stored).T
    return {_renamed(name): _fp32(array) for name, array in named.items()}


def _dequantise_prosody(graph: onnx.GraphProto) -> None:
    """Let *graph* compute in fp32 what it computes in int8 of durations and pitch."""
    stored = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    made_by = {name: node for node in graph.node for name in node.output}
    adds = [node for node in graph.node if node.op_type == "Add"]
    for node in graph.node:
        if node.op_type != "MatMulInteger" or _bias_of(node, adds, stored)[:3] != "pn.":
            continue
        weight = node.input[1].removesuffix(_QUANTISED)
        if weight not in stored:  # a layer that is applied repeatedly has one
            stored[weight] = _fp32(_dequantised(node.input[1], stored))
            graph.initializer.append(numpy_helper.from_array(stored[weight], weight))
        product = helper.make_node(
            "MatMul", [made_by[node.input[0]].input[0], weight], [_result_of(node)]
        )
        made_by[_result_of(node)].CopyFrom(product)


def _result_of(product: Any) -> str:
    """Return the name of what *product*, a MatMulInteger node, comes to in fp32."""
    return str(product.output[0]).replace("_output_quantized", "")


def _bias_of(product: Any, adds: list[Any], stored: dict[str, Array]) -> str:
    """Return the name of the bias that is added to *product*, a MatMulInteger node."""
    result = _result_of(product)
    for add in adds:
        if result in add.input:
            for name in add.input:
                if name in stored and name.endswith("bias"):
                    return str(name)
    raise ValueError(f"{NETWORK}: nothing is added to {product.name}")


def _dequantised(name: str, stored: dict[str, Array]) -> Array:
    base = name.removesuffix(_QUANTISED)
    try:
        zero, scale = stored[f"{base}_zero_point"], stored[f"{base}_scale"]
    except KeyError as exc:
        raise ValueError(f"{NETWORK}: no scale for {name}") from exc
    values: Array = (stored[name].astype(np.float32) - zero.astype(np.float32)) * scale
    return values


def _renamed(name: str) -> str:
    return ".".join(WORDS.get(word, word) for word in name.split("."))


def _fp32(array: Array) -> Array:
    return np.ascontiguousarray(array, dtype=np.float32)

"""ImageHandler: ResNet, MobileNetV2 and ViT see what they see in transformers."""

import base64
import io
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageClassification

from image_handler import ImageHandler
from image_kit.options import ImageOptions
from image_kit.picture import decode_base64, read_picture
from tests.checkpoints.images import LABELS, build_mobilenet, build_resnet, build_vit
from tests.handlers.loaded import FakeContext, Loaded

BUILDERS = {"resnet": build_resnet, "mobilenet": build_mobilenet, "vit": build_vit}
EQUAL = 1e-5


def picture(width: int = 50, height: int = 40, seed: int = 0, mode: str = "RGB") -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(noise).convert(mode)


def encoded(image: Image.Image, kind: str = "PNG", **how: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folders = {name: tmp_path_factory.mktemp(name) for name in BUILDERS}
    for name, build in BUILDERS.items():
        build(folders[name])
    return folders


@pytest.fixture(scope="module")
def loaded(folders: dict[str, Path]) -> dict[str, Loaded]:
    config = {"max_batch_size": 4, "warmup_iterations": 1, "workers": 2}
    return {
        name: Loaded(ImageHandler(), FakeContext(folder, config))
        for name, folder in folders.items()
    }


@pytest.fixture
def vit(loaded: dict[str, Loaded]) -> Loaded:
    return loaded["vit"]


def answers(handler: Loaded, *inputs: Any) -> list[list[dict[str, Any]]]:
    header, bodies = handler.job(*[msgspec.json.encode(each) for each in inputs])
    assert [item.error for item in header.items] == [None] * len(inputs)
    return [msgspec.json.decode(body) for body in bodies]


def refusal(handler: Loaded, given: Any) -> str:
    header, _ = handler.job(msgspec.json.encode(given))
    assert header.items[0].status == 400
    return str(header.items[0].error)


@torch.inference_mode()
def by_transformers(folder: Path, image: Image.Image) -> dict[str, float]:
    processors: Any = AutoImageProcessor
    processor = processors.from_pretrained(folder, backend="pil")
    network = AutoModelForImageClassification.from_pretrained(folder)
    logits = network(**processor(image, return_tensors="pt")).logits[0]
    return dict(zip(LABELS, logits.softmax(-1).tolist(), strict=True))


@pytest.mark.parametrize("name", BUILDERS)
def test_labels_and_scores_equal_transformers(
    loaded: dict[str, Loaded], folders: dict[str, Path], name: str
) -> None:
    image = picture()
    (best,) = answers(loaded[name], {"image": text(encoded(image)), "parameters": {"top_k": 7}})
    expected = by_transformers(folders[name], image)
    assert max(expected.values()) < 0.999  # it is not sure, so that scores say something
    assert {each["label"]: each["score"] for each in best} == pytest.approx(expected, abs=EQUAL)
    scores = [each["score"] for each in best]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("name", BUILDERS)
def test_a_mixed_batch_equals_each_picture_alone(loaded: dict[str, Loaded], name: str) -> None:
    inputs = [
        text(encoded(picture(50, 40, 1))),
        text(encoded(picture(200, 31, 2), "JPEG")),
        {"image": text(encoded(picture(33, 90, 3), "WEBP", lossless=True))},
        text(encoded(picture(64, 64, 4), "BMP")),
        text(encoded(picture(64, 64, 5, "P"), "GIF")),
    ]
    together = answers(loaded[name], *inputs)
    for given, batched in zip(inputs, together, strict=True):
        (alone,) = answers(loaded[name], given)
        assert [each["label"] for each in alone] == [each["label"] for each in batched]
        ours, theirs = ([each["score"] for each in some] for some in (alone, batched))
        assert ours == pytest.approx(theirs, abs=EQUAL)


def test_five_labels_are_answered_unless_top_k_is_given(vit: Loaded) -> None:
    given = text(encoded(picture()))
    (five,) = answers(vit, given)
    (two,) = answers(vit, {"image": given, "parameters": {"top_k": 2}})
    assert len(five) == 5
    assert two == five[:2]


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1", "I;16"])
def test_every_colour_mode_is_read_as_rgb(vit: Loaded, mode: str) -> None:
    image = picture(mode="RGB").convert("I;16") if mode == "I;16" else picture(mode=mode)
    kind = "JPEG" if mode == "CMYK" else "PNG"
    assert len(answers(vit, text(encoded(image, kind)))[0]) == 5


LEFT, RIGHT = (10, 200, 30), (255, 0, 0)
BLACK = (0, 0, 0)


def halves(*, alpha: int = 255) -> Image.Image:
    """Green on the left, red on the right; *alpha* is the right half's."""
    both = np.zeros((20, 50, 4), np.uint8)
    both[:, :25], both[:, 25:] = (*LEFT, 255), (*RIGHT, alpha)
    return Image.fromarray(both)


def grey(*levels: int) -> Image.Image:
    """Grey of 16 bits, in two halves."""
    return Image.fromarray(np.repeat(np.array(levels, np.uint16), 25)[None].repeat(20, 0))


PALETTE = halves().convert("RGB").quantize(4)
RED_IN_IT = PALETTE.getpixel((45, 5))
TURNED = Image.Exif()
TURNED[0x0112] = 3  # by half a turn
COLOURS: dict[str, tuple[bytes, tuple[int, ...], tuple[int, ...]]] = {
    "RGB": (encoded(halves().convert("RGB")), LEFT, RIGHT),
    "16 bits of grey": (encoded(grey(0, 40000)), BLACK, (156,) * 3),
    "dark 16 bits": (encoded(grey(300, 65535)), (1,) * 3, (255,) * 3),
    "16 bits, one of them transparent": (
        encoded(grey(30000, 65535), transparency=65535),
        (117,) * 3,
        BLACK,
    ),
    "transparent": (encoded(halves(alpha=0)), LEFT, BLACK),
    "half transparent": (encoded(halves(alpha=128)), LEFT, (128, 0, 0)),
    "transparent WebP": (encoded(halves(alpha=0), "WEBP", lossless=True), LEFT, BLACK),
    "grey with transparency": (
        encoded(Image.merge("LA", (Image.new("L", (50, 20), 90), halves(alpha=0).split()[3]))),
        (90,) * 3,
        BLACK,
    ),
    "palette": (encoded(PALETTE), LEFT, RIGHT),
    "palette, one of it transparent": (encoded(PALETTE, transparency=RED_IN_IT), LEFT, BLACK),
    "transparent GIF": (encoded(PALETTE, "GIF", transparency=RED_IN_IT), LEFT, BLACK),
    "a transparent colour": (encoded(halves().convert("RGB"), transparency=RIGHT), LEFT, BLACK),
    "CMYK": (encoded(halves().convert("CMYK"), "JPEG", quality=95), LEFT, RIGHT),
    "black and white": (encoded(halves().convert("1", dither=Image.Dither.NONE)), BLACK, BLACK),
    "turned JPEG": (
        encoded(halves().convert("RGB"), "JPEG", quality=95, exif=TURNED),
        RIGHT,
        LEFT,
    ),
    "turned PNG": (encoded(halves(alpha=0), exif=TURNED), BLACK, LEFT),
    "turned palette": (encoded(PALETTE, "WEBP", lossless=True, exif=TURNED), RIGHT, LEFT),
}


@pytest.mark.parametrize("name", COLOURS)
def test_colours_are_those_of_the_picture(name: str) -> None:
    data, left, right = COLOURS[name]
    seen = np.asarray(read_picture(data, ImageOptions())).astype(int)
    assert np.abs(seen[5, 5] - left).max() <= 2
    assert np.abs(seen[5, 45] - right).max() <= 2


@pytest.mark.parametrize(
    "broken",
    [
        lambda text: "\r\n".join(text[n : n + 76] for n in range(0, len(text), 76)),
        lambda text: text.replace("+", "-").replace("/", "_"),
        lambda text: "DATA:IMAGE/PNG;BASE64," + text,
    ],
    ids=["lines", "alphabet of addresses", "capitals"],
)
def test_base64_is_taken_in_every_form(broken: Any) -> None:
    data = encoded(picture(90, 80))
    assert decode_base64(broken(text(data)), 10**6) == data


def test_a_picture_is_turned_as_the_camera_was_held(vit: Loaded) -> None:
    upright = picture(40, 60, 7)
    lying = upright.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it clockwise
    turned = answers(vit, text(encoded(lying, "PNG", exif=exif)))
    assert turned == answers(vit, text(encoded(upright)))


def test_a_data_uri_is_a_picture_too(vit: Loaded) -> None:
    plain = text(encoded(picture()))
    assert answers(vit, f"data:image/png;base64,{plain}") == answers(vit, plain)


def test_a_plain_body_is_the_picture(vit: Loaded) -> None:
    data = encoded(picture())
    (answer,) = vit.rows({"body": data})
    assert msgspec.json.decode(answer) == answers(vit, text(data))[0]


REFUSED: dict[str, tuple[Any, str]] = {
    "number": (7, "must be a picture"),
    "no base64": ("!!!", "must be in base64"),
    "path": ("/etc/passwd", "must be"),
    "address": ("https://example.com/a.png", "must be in base64"),
    "wrong uri": ("data:text/plain;base64,AAAA", "data URI"),
    "no picture": (text(b"hello there"), "must be in one of"),
    "svg": (text(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), "must be in one of"),
    "tiff": (text(encoded(picture(), "TIFF")), "must be in one of"),
    "cut": (text(encoded(picture())[:-400]), "damaged"),
    "a line": (text(encoded(Image.new("RGB", (2100, 100)))), "one side may be at most 20 times"),
    "unknown field": ({"image": "AAAA", "size": 3}, "size"),
    "unknown parameter": ({"image": text(encoded(picture())), "parameters": {"x": 1}}, "x"),
    "wrong parameter": ({"image": text(encoded(picture())), "parameters": {"top_k": 0}}, "top_k"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_unreadable_input_is_refused_with_a_reason(vit: Loaded, what: str) -> None:
    given, reason = REFUSED[what]
    assert reason in refusal(vit, given)


@pytest.mark.parametrize(
    ("side", "reason"), [(9000, "9000 x 9000 pixels"), (20000, "more than 40000000 pixels")]
)
def test_a_picture_of_too_many_pixels_is_refused_with_a_reason(
    vit: Loaded, side: int, reason: str
) -> None:
    huge = encoded(Image.new("1", (side, side)))
    assert reason in refusal(vit, text(huge))


def test_too_many_bytes_are_refused(folders: dict[str, Path]) -> None:
    config = {"options": {"max_bytes": 1000}, "warmup_iterations": 0}
    handler = Loaded(ImageHandler(), FakeContext(folders["vit"], config))
    assert "more than 1000 bytes" in refusal(handler, text(encoded(picture())))


def test_a_bad_picture_harms_only_itself(vit: Loaded) -> None:
    good = text(encoded(picture()))
    header, bodies = vit.job(*[msgspec.json.encode(each) for each in (good, "!!!", good)])
    assert [item.status for item in header.items] == [200, 400, 200]
    assert bodies[0] == bodies[2]

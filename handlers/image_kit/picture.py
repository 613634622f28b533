"""Decodes pictures of certain formats, with at most the allowed number of pixels.

The size is read from a picture's header, so that one that is too large is refused before it is
decoded.  Pillow never opens a path or an address here.
"""

import base64
import binascii
import io
import re
import warnings
from typing import Final

import numpy as np
from PIL import Image, UnidentifiedImageError

from handler_kit.errors import InvalidInput
from image_kit.options import ImageOptions

FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
WHITE_16: Final = 65535
ORIENTATION: Final = 0x0112  # EXIF's tag for the orientation of the camera
TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


_DATA_URI = re.compile(r"data:image/[^,]*;base64", re.IGNORECASE)
_WITHOUT_BLANKS = str.maketrans("-_", "+/", " \t\r\n")  # the URL-safe alphabet is also accepted


def decode_base64(text: str, max_bytes: int) -> bytes:
    """Return the bytes of base64, or of a data URI with base64.  White space is ignored.

    Raises InvalidInput.
    """
    if text[:5].lower() == "data:":
        head, comma, text = text.partition(",")
        if not comma or not _DATA_URI.fullmatch(head):
            raise InvalidInput("The data URI must be data:image/…;base64,…")
    text = text.translate(_WITHOUT_BLANKS)
    if len(text) * 3 // 4 > max_bytes:
        raise InvalidInput(f"The picture has more than {max_bytes} bytes")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise InvalidInput("The picture must be in base64, or in a data URI with base64") from exc


def read_picture(data: bytes, options: ImageOptions) -> Image.Image:
    """Return the first frame, upright, in RGB.  Transparency becomes black.

    Raises InvalidInput.
    """
    if len(data) > options.max_bytes:
        raise InvalidInput(f"The picture has more than {options.max_bytes} bytes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns at its own limit; ours follows
        try:
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
            _check_size(picture, options)
            picture.load()
            return _in_rgb(_upright(picture))
        except (InvalidInput, MemoryError):
            raise
        except Image.DecompressionBombError as exc:  # Pillow's own limit, where ours is not applied
            raise InvalidInput(f"The picture has more than {options.max_pixels} pixels") from exc
        except UnidentifiedImageError as exc:
            raise InvalidInput(
                f"The picture must be in one of these formats: {', '.join(FORMATS)}"
            ) from exc
        except Exception as exc:  # Pillow's decoders raise errors of many kinds
            raise InvalidInput("The picture is damaged") from exc


def _in_rgb(picture: Image.Image) -> Image.Image:
    """Return *picture* in RGB on black, scaled from any number of bits to 8.

    Pillow's own conversion clips values beyond 8 bits, and shows the hidden colours of transparent
    pixels.
    """
    if picture.mode.partition(";")[0] == "I":
        picture = _in_8_bits(picture)
    if picture.has_transparency_data:
        drawn = picture.convert("RGBA")
        paper = Image.new("RGBA", drawn.size, "black")
        return Image.alpha_composite(paper, drawn).convert("RGB")
    return picture.convert("RGB")


def _in_8_bits(picture: Image.Image) -> Image.Image:
    """Return 16-bit grey, which some versions of Pillow represent with 32 bits, in 8 bits."""
    levels = np.asarray(picture)
    transparent = picture.info.get("transparency")
    grey = Image.fromarray((levels.clip(0, WHITE_16) >> 8).astype(np.uint8))
    if isinstance(transparent, int):  # the grey level that counts as transparent
        grey.putalpha(Image.fromarray(np.where(levels == transparent, 0, 255).astype(np.uint8)))
    return grey


def _check_size(picture: Image.Image, options: ImageOptions) -> None:
    width, height = picture.size
    size = f"The picture has {width} x {height} pixels"
    if width * height > options.max_pixels:
        raise InvalidInput(f"{size}; at most {options.max_pixels} pixels are allowed")
    if max(width, height) > options.max_aspect * min(width, height):
        raise InvalidInput(
            f"{size}; one side may be at most {options.max_aspect} times as long as the other"
        )


def _upright(picture: Image.Image) -> Image.Image:
    """Return *picture* turned upright according to its EXIF.  Unreadable EXIF is ignored."""
    try:
        turn = TURNS.get(picture.getexif().get(ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - damaged EXIF may raise anything
        turn = None
    return picture if turn is None else picture.transpose(turn)

"""Bytes to a picture: the formats that are allowed, and no more pixels than are allowed.

A picture's header tells its size, so one that would fill the memory is refused before any of it
is decoded.  Pillow never opens a path or an address here.
"""

import base64
import binascii
import io
import warnings
from typing import Final

from PIL import Image, UnidentifiedImageError

from handler_kit.errors import InvalidInput
from image_kit.options import ImageOptions

FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
ORIENTATION: Final = 0x0112  # EXIF's tag for how the camera was held
TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode_base64(text: str, max_bytes: int) -> bytes:
    """The bytes of base64, or of a data URI that holds it.  Raises InvalidInput."""
    if text.startswith("data:"):
        head, comma, text = text.partition(",")
        if not comma or not head.startswith("data:image/") or not head.endswith(";base64"):
            raise InvalidInput("The data URI must be data:image/…;base64,…")
    if len(text) * 3 // 4 > max_bytes:
        raise InvalidInput(f"The picture has more than {max_bytes} bytes")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise InvalidInput("The picture must be base64, or a data URI that holds it") from exc


def read_picture(data: bytes, options: ImageOptions) -> Image.Image:
    """The first frame, upright, in RGB; what is transparent is black.  Raises InvalidInput."""
    if len(data) > options.max_bytes:
        raise InvalidInput(f"The picture has more than {options.max_bytes} bytes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own limit is a warning; ours is below
        try:
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
            _check_size(picture, options)
            picture.load()
            return _upright(picture).convert("RGB")
        except (InvalidInput, MemoryError):
            raise
        except Image.DecompressionBombError as exc:  # Pillow's own limit, where ours is not asked
            raise InvalidInput(f"The picture has more than {options.max_pixels} pixels") from exc
        except UnidentifiedImageError as exc:
            raise InvalidInput(f"The picture must be one of {', '.join(FORMATS)}") from exc
        except Exception as exc:  # Pillow's decoders raise errors of many kinds
            raise InvalidInput("The picture is damaged") from exc


def _check_size(picture: Image.Image, options: ImageOptions) -> None:
    width, height = picture.size
    size = f"The picture has {width} x {height} pixels"
    if width * height > options.max_pixels:
        raise InvalidInput(f"{size}, {options.max_pixels} are allowed")
    if max(width, height) > options.max_aspect * min(width, height):
        raise InvalidInput(f"{size}: one side is over {options.max_aspect} times the other")


def _upright(picture: Image.Image) -> Image.Image:
    """As the camera was held; what is unreadable there turns nothing."""
    try:
        turn = TURNS.get(picture.getexif().get(ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - any, from damaged EXIF
        turn = None
    return picture if turn is None else picture.transpose(turn)

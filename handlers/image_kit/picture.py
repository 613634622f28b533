"""Bytes to a picture: the formats that are allowed, and no more pixels than are allowed.

A picture's header tells its size, so one that would fill the memory is refused before any of it
is decoded.  Pillow never opens a path or an address here.
"""

import base64
import binascii
import io
import warnings
from typing import Final

from PIL import Image, ImageOps, UnidentifiedImageError

from handler_kit.errors import InvalidInput
from image_kit.options import ImageOptions

FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, OverflowError)


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
            _check_size(picture, options.max_pixels)
            picture.load()
            return _upright(picture).convert("RGB")
        except Image.DecompressionBombError as exc:  # Pillow's own limit, where ours is not asked
            raise InvalidInput(f"The picture has more than {options.max_pixels} pixels") from exc
        except UnidentifiedImageError as exc:
            raise InvalidInput(f"The picture must be one of {', '.join(FORMATS)}") from exc
        except _DAMAGED as exc:
            raise InvalidInput("The picture is damaged") from exc


def _check_size(picture: Image.Image, most: int) -> None:
    width, height = picture.size
    if width * height > most:
        raise InvalidInput(f"The picture has {width} x {height} pixels, {most} are allowed")


def _upright(picture: Image.Image) -> Image.Image:
    """As the camera was held."""
    return ImageOps.exif_transpose(picture) or picture

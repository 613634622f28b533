"""The ``handler_options`` of the image handler."""

from handler_kit.options import Count, HandlerOptions


class ImageOptions(HandlerOptions, frozen=True, kw_only=True):
    """The limits of a picture, and how many pictures share a pass.

    *max_aspect* limits the ratio of a picture's sides: image processors scale the shorter side to
    the network's size, so that a long thin picture would become huge.
    """

    max_bytes: Count = 20_000_000
    max_pixels: Count = 40_000_000
    max_aspect: Count = 20
    max_pass_images: Count = 64

"""What ``handler_options`` may say of an image model."""

from handler_kit.options import Count, HandlerOptions


class ImageOptions(HandlerOptions, frozen=True, kw_only=True):
    """The largest picture that is read, and how many share a pass.

    *max_aspect* bounds the ratio of a picture's sides: processors scale the shorter side to what
    the network takes, so that a long thin picture would become a huge one.
    """

    max_bytes: Count = 20_000_000
    max_pixels: Count = 40_000_000
    max_aspect: Count = 20
    max_pass_images: Count = 64

"""What ``handler_options`` may say of an image model."""

from handler_kit.options import Count, HandlerOptions


class ImageOptions(HandlerOptions, frozen=True, kw_only=True):
    """The largest picture that is read, and how many share a pass."""

    max_bytes: Count = 20_000_000
    max_pixels: Count = 40_000_000
    max_pass_images: Count = 64

"""Images with what a network looked at drawn over them."""

import base64
import io
from typing import Literal

import matplotlib
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

# Perceptually uniform, and dark at 0.
HEAT = matplotlib.colormaps["inferno"]
DIMMED = np.array([24.0, 26.0, 32.0], np.float32)


def heat_overlay(
    image: UInt8[np.ndarray, "h w 3"], heat: Float[np.ndarray, "h w"], opacity: float = 0.6
) -> UInt8[np.ndarray, "h w 3"]:
    """A saliency map in [0, 1] as heat over the grey image: `(1 - opacity) grey + opacity heat`."""
    grey = image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    colour = 255 * HEAT(heat)[..., :3].astype(np.float32)
    return _bytes((1 - opacity) * grey[..., None] + opacity * colour)


def mask_overlay(
    image: UInt8[np.ndarray, "h w 3"], mask: Float[np.ndarray, "h w"], dimming: float = 0.82
) -> UInt8[np.ndarray, "h w 3"]:
    """The image as the mask in [0, 1] lets it through: unchanged where it is 1, nearly dark where it is 0."""
    shade = (dimming * (1 - mask))[..., None]
    return _bytes((1 - shade) * image.astype(np.float32) + shade * DIMMED)


def enlarged_image(image: UInt8[np.ndarray, "h w 3"], side: int) -> UInt8[np.ndarray, "big_h big_w 3"]:
    """The image with its longer side at `side` pixels."""
    return np.asarray(Image.fromarray(image).resize(_size(image, side), Image.Resampling.LANCZOS))


def enlarged_map(
    values: Float[np.ndarray, "h w"], side: int, interpolation: Literal["smooth", "pixels"] = "smooth"
) -> Float[np.ndarray, "big_h big_w"]:
    """A map in [0, 1] with its longer side at `side` pixels; `pixels` keeps the borders of a mask hard."""
    how = Image.Resampling.BICUBIC if interpolation == "smooth" else Image.Resampling.NEAREST
    resized = Image.fromarray(values.astype(np.float32)).resize(_size(values, side), how)
    return np.clip(np.asarray(resized), 0.0, 1.0)


def data_uri(image: UInt8[np.ndarray, "h w 3"], quality: int = 86) -> str:
    """The image as WebP in a `data:` address: a page that uses it needs no other file."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format="WEBP", quality=quality, method=4)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _size(array: np.ndarray, side: int) -> tuple[int, int]:
    height, width = array.shape[:2]
    scale = side / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _bytes(values: Float[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)

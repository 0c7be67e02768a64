"""Untrusted image files to upright 8-bit RGB, and the bytes that are worth storing.

Two readers. `decode` checks: Pillow refuses truncated files, which OpenCV reads silently, and knows every kind of
pixel. `decode_stored` is fast: OpenCV, for bytes that `storable` found to read alike with both.

What becomes of unusual images: 16 bits a channel keep their upper 8; palettes are looked up; alpha is composited over
white; CMYK (Adobe's inverted one too) becomes RGB without a colour profile; of an animation the first frame is read; a
camera's EXIF orientation is applied. Colour profiles are ignored.
"""

import contextlib
import io
import warnings
from collections.abc import Iterator
from typing import Literal

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageChops, ImageOps, UnidentifiedImageError

# What a file's first bytes may say, whatever its name says.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
# MPO is what Pillow calls a JPEG with further views behind it, as some phones write.
STORED_FORMATS = ("JPEG", "MPO", "PNG", "WEBP")
# Against decompression bombs: 0.3 GB in Pillow, more than a 50-megapixel camera's image; a side as long as JPEG allows.
MOST_PIXELS = 2**26
LONGEST_SIDE = 2**16 - 1
# Levels of 255 by which two decoders of one JPEG or WebP may differ on average: their rounding, never other contents.
ROUNDING = 2.0
END_OF_JPEG = b"\xff\xd9"


class BadImage(ValueError):
    """Bytes that are not a whole image. The text says what is wrong; messages put it behind the file's name."""


@contextlib.contextmanager
def without_pillow_warnings() -> Iterator[None]:
    """Silences Pillow, which warns of odd metadata; those are not what is read here.

    Filters of warnings belong to the process: to be entered by one thread, around all those that decode.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def decode(content: bytes) -> UInt8[np.ndarray, "h w 3"]:
    """Any supported image, upright, as 8-bit RGB, checked to be whole (see the head of this file).

    Raises:
      BadImage: an empty, truncated or corrupt file, none of FORMATS, or larger than MOST_PIXELS or LONGEST_SIDE.
    """
    return _decode(content)[0]


def decode_mask(content: bytes) -> UInt8[np.ndarray, "h w 1"]:
    """A mask's grey levels, 255 where the object is; a mask of zeros and ones is read as one of 0 and 255.

    Raises:
      BadImage: as `decode`.
    """
    grey = cv2.cvtColor(decode(content), cv2.COLOR_RGB2GRAY)[..., None]
    return grey * np.uint8(255) if grey.max() == 1 else grey


def storable(content: bytes) -> bytes:
    """Bytes for `decode_stored`: `content` itself where that reads it right, else a PNG of what `decode` reads.

    Itself: a plain JPEG, PNG or WebP, that is upright, 8-bit, RGB or grey, opaque and not animated.

    Raises:
      BadImage: as `decode`.
    """
    pixels, plain = _decode(content)
    return content if plain and _reads_alike(content, pixels) else as_png(pixels)


def decode_stored(content: bytes, channels: Literal[1, 3] = 3) -> UInt8[np.ndarray, "h w {channels}"]:
    """Pixels of bytes that `storable` or `as_png` gave; one channel for masks. Twice as fast as `decode`; no checks.

    Raises:
      BadImage: bytes that OpenCV cannot read.
    """
    colour = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR_RGB
    encoded = np.frombuffer(content, np.uint8)
    # What is stored is upright: an orientation beside it is not to be applied again.
    pixels = cv2.imdecode(encoded, colour | cv2.IMREAD_IGNORE_ORIENTATION) if encoded.size else None
    if pixels is None:
        raise BadImage("stored bytes that are not an image")
    return pixels if channels == 3 else pixels[..., None]


def as_png(pixels: UInt8[np.ndarray, "h w c"]) -> bytes:
    """RGB [h w 3] or grey [h w 1], without loss."""
    return cv2.imencode(".png", pixels[..., ::-1] if pixels.shape[-1] == 3 else pixels)[1].tobytes()


def _decode(content: bytes) -> tuple[UInt8[np.ndarray, "h w 3"], bool]:
    """The pixels, and whether the file is plain."""
    if not content:
        raise BadImage("empty file")
    try:
        return _decode_with_pillow(content)
    except BadImage:
        raise
    except UnidentifiedImageError as error:
        raise BadImage(f"not an image of a supported format ({', '.join(FORMATS)})") from error
    except Image.DecompressionBombError as error:
        raise BadImage(f"more than {MOST_PIXELS} pixels") from error
    # Whatever untrusted bytes bring about inside Pillow (OSError, SyntaxError, struct.error, zlib.error, ...).
    except Exception as error:
        raise BadImage("truncated" if "truncated" in str(error).lower() else f"corrupt ({error})") from error


def _decode_with_pillow(content: bytes) -> tuple[UInt8[np.ndarray, "h w 3"], bool]:
    file = io.BytesIO(content)
    image = Image.open(file, formats=FORMATS)
    width, height = image.size
    if width * height > MOST_PIXELS or max(width, height) > LONGEST_SIDE:
        raise BadImage(f"{width} x {height}, more than {MOST_PIXELS} pixels or a side of {LONGEST_SIDE}")
    # A download that stopped may be filled up with zeros, which libjpeg takes for pixels.
    if image.format == "JPEG" and content.find(END_OF_JPEG, file.tell()) < 0:
        raise BadImage("truncated")
    deep = image.format == "PNG" and content[24] == 16  # the header's bits a channel
    if deep and image.mode == "RGB" and "transparency" in image.info:
        raise BadImage("16-bit RGB with a transparent colour, which is not supported")
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    plain = (
        image.format in STORED_FORMATS
        and image.mode in ("RGB", "L")
        and orientation not in range(2, 9)
        and not image.has_transparency_data
        and (image.format == "MPO" or getattr(image, "n_frames", 1) == 1)  # a reader of JPEG meets the first view only
        and not deep
    )
    return np.array(_rgb(ImageOps.exif_transpose(image))), plain


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return _rgb_of_16_bit_grey(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        opaque = Image.new("RGB", image.size, "white")
        opaque.paste(image, mask=image)
        return opaque
    # Pillow takes all CMYK for Adobe's, where 255 is no ink; without Adobe's marker 255 is full ink.
    if image.mode == "CMYK" and "adobe" not in image.info:
        image = ImageChops.invert(image)
    return image.convert("RGB")


def _rgb_of_16_bit_grey(image: Image.Image) -> Image.Image:
    """The upper 8 bits, where Pillow's own conversion clips at 255; a transparent level is white, as alpha is."""
    levels = np.asarray(image)
    grey = (levels >> 8).astype(np.uint8)
    if "transparency" in image.info:
        grey[levels == image.info["transparency"]] = 255
    return Image.fromarray(grey).convert("RGB")


def _reads_alike(content: bytes, pixels: UInt8[np.ndarray, "h w 3"]) -> bool:
    """Whether OpenCV reads what Pillow did: found out here, not in an epoch."""
    try:
        fast = decode_stored(content)
    except (BadImage, cv2.error):
        return False
    return fast.shape == pixels.shape and cv2.norm(fast, pixels, cv2.NORM_L1) <= ROUNDING * pixels.size

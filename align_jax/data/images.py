"""Reads image files that are not trusted as upright 8-bit RGB, and chooses the bytes to store.

There are two readers. `decode` checks a file with Pillow, which knows every kind of pixel and refuses truncated files,
where OpenCV reads them silently. `decode_stored` is fast: it uses OpenCV, for bytes that `storable` tried with both.

Unusual images become RGB like this: of 16 bits for each channel the upper 8 are kept; a palette's colours are used;
transparent images are put on white; CMYK (also Adobe's inverted kind) is converted without a colour profile; an
animation's first frame is read; a camera's EXIF orientation is applied. Colour profiles are ignored.
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

# The formats that are read. A file's first bytes decide, not its name.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
# How the names of images end, in upper or lower case. In folders only such files are images.
SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
# MPO is Pillow's name for a JPEG with further views behind it, as some phones write.
STORED_FORMATS = ("JPEG", "MPO", "PNG", "WEBP")
# Against decompression bombs: 0.3 GB in Pillow, enough for a camera of 50 megapixels. The side is JPEG's limit.
MOST_PIXELS = 2**26
LONGEST_SIDE = 2**16 - 1
# How much two decoders of one JPEG or WebP may differ on average, in levels of 255, because they round differently.
ROUNDING = 2.0
END_OF_JPEG = b"\xff\xd9"


class BadImage(ValueError):
    """Bytes that are not a whole image. The text is the reason; messages put it behind the file's name."""


@contextlib.contextmanager
def without_pillow_warnings() -> Iterator[None]:
    """Silences Pillow's warnings about metadata that are not read here.

    Filters of warnings belong to the whole process: enter this in one thread, around all threads that decode.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def decode(content: bytes) -> UInt8[np.ndarray, "h w 3"]:
    """A whole image of any supported kind, upright, as 8-bit RGB; see the head of this file.

    Raises:
      BadImage: the file is empty, truncated or corrupt, not one of FORMATS, or larger than MOST_PIXELS or LONGEST_SIDE.
    """
    return _decode(content)[0]


def decode_mask(content: bytes) -> UInt8[np.ndarray, "h w 1"]:
    """A mask's grey levels, 255 on the object; ones count as 255 in a mask of zeros and ones. Checks as `decode`."""
    grey = cv2.cvtColor(decode(content), cv2.COLOR_RGB2GRAY)[..., None]
    return grey * np.uint8(255) if grey.max() == 1 else grey


def storable(content: bytes) -> bytes:
    """Bytes for `decode_stored`: `content` itself where it reads that correctly, otherwise a PNG of `decode`'s pixels.

    Plain images are kept: JPEG, PNG or WebP, upright, 8-bit, RGB or grey, opaque, not animated. Checks as `decode`.
    """
    pixels, plain = _decode(content)
    return content if plain and _reads_alike(content, pixels) else as_png(pixels)


def decode_stored(content: bytes, channels: Literal[1, 3] = 3) -> UInt8[np.ndarray, "h w {channels}"]:
    """The pixels of bytes from `storable` or `as_png`, twice as fast as `decode`; masks have one channel.

    Raises:
      BadImage: OpenCV cannot read the bytes. There are no other checks.
    """
    colour = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR_RGB
    encoded = np.frombuffer(content, np.uint8)
    # Stored images are upright: an orientation in their metadata must not be applied again.
    pixels = cv2.imdecode(encoded, colour | cv2.IMREAD_IGNORE_ORIENTATION) if encoded.size else None
    if pixels is None:
        raise BadImage("stored bytes that are not an image")
    return pixels if channels == 3 else pixels[..., None]


def as_png(pixels: UInt8[np.ndarray, "h w c"]) -> bytes:
    """A PNG of RGB [h w 3] or grey [h w 1] pixels."""
    return cv2.imencode(".png", pixels[..., ::-1] if pixels.shape[-1] == 3 else pixels)[1].tobytes()


def _decode(content: bytes) -> tuple[UInt8[np.ndarray, "h w 3"], bool]:
    """The pixels, and whether the file is plain, as `storable` says."""
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
    # Untrusted bytes can raise anything in Pillow (OSError, SyntaxError, struct.error, zlib.error, ...).
    except Exception as error:
        raise BadImage("truncated" if "truncated" in str(error).lower() else f"corrupt ({error})") from error


def _decode_with_pillow(content: bytes) -> tuple[UInt8[np.ndarray, "h w 3"], bool]:
    file = io.BytesIO(content)
    image = Image.open(file, formats=FORMATS)
    width, height = image.size
    if width * height > MOST_PIXELS or max(width, height) > LONGEST_SIDE:
        raise BadImage(f"{width} x {height}, more than {MOST_PIXELS} pixels or a side of {LONGEST_SIDE}")
    # A download that stopped may be filled with zeros, which libjpeg reads as pixels.
    if image.format == "JPEG" and content.find(END_OF_JPEG, file.tell()) < 0:
        raise BadImage("truncated")
    deep = image.format == "PNG" and content[24] == 16  # the bits of a channel, in the header
    if deep and image.mode == "RGB" and "transparency" in image.info:
        raise BadImage("16-bit RGB with a transparent colour, which is not supported")
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    plain = (
        image.format in STORED_FORMATS
        and image.mode in ("RGB", "L")
        and orientation not in range(2, 9)
        and not image.has_transparency_data
        and (image.format == "MPO" or getattr(image, "n_frames", 1) == 1)  # only an MPO's first view is read
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
    # Pillow reads all CMYK as Adobe's, where 255 means no ink. Without Adobe's marker 255 means full ink.
    if image.mode == "CMYK" and "adobe" not in image.info:
        image = ImageChops.invert(image)
    return image.convert("RGB")


def _rgb_of_16_bit_grey(image: Image.Image) -> Image.Image:
    """The upper 8 bits, where Pillow's own conversion would clip at 255; a transparent level becomes white."""
    levels = np.asarray(image)
    grey = (levels >> 8).astype(np.uint8)
    if "transparency" in image.info:
        grey[levels == image.info["transparency"]] = 255
    return Image.fromarray(grey).convert("RGB")


def _reads_alike(content: bytes, pixels: UInt8[np.ndarray, "h w 3"]) -> bool:
    """Whether OpenCV reads the same as Pillow."""
    try:
        fast = decode_stored(content)
    except (BadImage, cv2.error):
        return False
    return fast.shape == pixels.shape and cv2.norm(fast, pixels, cv2.NORM_L1) <= ROUNDING * pixels.size

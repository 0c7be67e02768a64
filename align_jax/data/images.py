"""Reads image files that are not trusted as upright 8-bit RGB, and chooses the bytes to store.

There are two readers. `decode` checks a file, which OpenCV does not: Pillow knows every format and kind of pixel, and
simplejpeg, which is faster, says when a JPEG's data end before its last row. `decode_stored` is fast: it uses OpenCV,
for bytes that `storable` tried with both.

Unusual images become RGB like this: of more than 8 bits for each channel the upper 8 are kept; a palette's colours are
used; transparent images are put on white; CMYK (also Adobe's inverted kind) is converted without a colour profile; an
animation's first frame and a TIFF's first page are read; a camera's EXIF orientation is applied. Other metadata, such
as colour profiles, are ignored, and do no harm where they are damaged or large.

Not every loss can be seen. Zeros in place of the end of a BMP, a WebP or an uncompressed TIFF are pixels as well. A
progressive JPEG that ends exactly behind one of its scans is whole, if not as sharp. Of a JPEG whose chroma subsampling
is too unusual for simplejpeg, only the end marker is looked for.
"""

import contextlib
import io
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import cv2
import numpy as np
import simplejpeg
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageChops, UnidentifiedImageError

from align_jax.data.whole_files import BadImage, check_whole, without_metadata

# The formats that are read. A file's first bytes decide, not its name.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
# How the names of images end, in upper or lower case. In folders only such files are images.
SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
# MPO is Pillow's name for a JPEG with further views behind it, as some phones write.
JPEG_FORMATS = ("JPEG", "MPO")
STORED_FORMATS = (*JPEG_FORMATS, "PNG", "WEBP")
# Against decompression bombs: enough for a camera of 50 megapixels. Measured at 8192 x 8192, storing an image takes 0.6
# GB at its peak, a progressive JPEG of full colour 0.8 GB, and a WebP 1.1 GB. The side is JPEG's limit.
MOST_PIXELS = 2**26
LONGEST_SIDE = 2**16 - 1
# How much two decoders of one JPEG or WebP may differ on average, in levels of 255, because they round differently.
ROUNDING = 2.0
# What libjpeg says where it makes up pixels: the data end within a scan, or where a restart marker should be, or are no
# code of a pixel.
MADE_UP = {
    "premature end": "truncated",
    "found marker 0xd9 instead of rst": "truncated",
    "bad huffman code": "corrupt (bad Huffman code)",
    "bad arithmetic code": "corrupt (bad arithmetic code)",
}
# What simplejpeg says of a sound JPEG that it cannot read.
UNUSUAL = "could not determine subsampling"
# Pixels that Pillow reads, and would convert to grey or RGB wrongly or not at all.
UNSUPPORTED = ("I", "F", "LAB")
# Pillow has four bytes for a pixel: how many pixels are copied from it at once.
STRIP = 2**20
# Tags of a TIFF, and the kind of grey where zero is white.
BITS_PER_SAMPLE, PHOTOMETRIC, TILE_WIDTH, TILE_LENGTH = 258, 262, 322, 323
WHITE_IS_ZERO = 0


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
    # Untrusted bytes can raise anything in Pillow (OSError, SyntaxError, struct.error, zlib.error, ...).
    except Exception as error:
        bare = without_metadata(content)
        if bare is None or bare == content:
            raise BadImage(_reason(error)) from error
    # What was refused may be the metadata, which do not decide.
    return _decode(bare)[0], False


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"not an image of a supported format ({', '.join(FORMATS)}), or of an unusual kind"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {MOST_PIXELS} pixels"
    return "truncated" if "truncated" in str(error).lower() else f"corrupt ({error})"


def _decode_with_pillow(content: bytes) -> tuple[UInt8[np.ndarray, "h w 3"], bool]:
    sound = check_whole(content)
    image = Image.open(io.BytesIO(content), formats=FORMATS)
    _check_size(image)
    deep = image.format == "PNG" and content[24] == 16  # the bits of a channel, in the header
    if deep and image.mode == "RGB" and "transparency" in image.info:
        raise BadImage("16-bit RGB with a transparent colour, which is not supported")
    if image.mode in UNSUPPORTED:
        raise BadImage(f"pixels of kind {image.mode}, which are not supported")
    orientation = _orientation(image)
    pixels, clean = _jpeg_pixels(content, image.mode) if image.format in JPEG_FORMATS else (None, sound)
    plain = (
        image.format in STORED_FORMATS
        and image.mode in ("RGB", "L")
        and orientation == 1
        and not image.has_transparency_data
        and (image.format == "MPO" or getattr(image, "n_frames", 1) == 1)  # only an MPO's first view is read
        and not deep
        and clean  # OpenCV would print a warning whenever it reads the image
    )
    return _upright(_pillow_pixels(image) if pixels is None else pixels, orientation), plain


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MOST_PIXELS or max(width, height) > LONGEST_SIDE:
        raise BadImage(f"{width} x {height}, more than {MOST_PIXELS} pixels or a side of {LONGEST_SIDE}")
    # A TIFF's tile may be larger than its image, and has a buffer of its own.
    across, down = (getattr(image, "tag_v2", {}).get(tag) for tag in (TILE_WIDTH, TILE_LENGTH))
    if isinstance(across, int) and isinstance(down, int) and across * down > MOST_PIXELS:
        raise BadImage(f"tiles of more than {MOST_PIXELS} pixels")


def _orientation(image: Image.Image) -> int:
    """EXIF's number, 1 to 8; 1 for a value or metadata that make no sense."""
    if image.format == "TIFF":  # Pillow turns these itself
        return 1
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # the bytes of damaged metadata can raise anything
        return 1
    if isinstance(value, (tuple, bytes)) and value:
        value = value[0]
    return next((number for number in range(2, 9) if number == value), 1)


def _upright(pixels: UInt8[np.ndarray, "h w 3"], orientation: int) -> UInt8[np.ndarray, "h2 w2 3"]:
    """The pixels as a viewer shows them. Pillow's own function rewrites the metadata, and fails where it cannot."""
    turned = pixels.swapaxes(0, 1) if orientation >= 5 else pixels
    rows, columns = (-1 if orientation in flipped else 1 for flipped in ((3, 4, 7, 8), (2, 3, 6, 7)))
    return np.ascontiguousarray(turned[::rows, ::columns])


def _jpeg_pixels(content: bytes, mode: str) -> tuple[UInt8[np.ndarray, "h w 3"] | None, bool]:
    """A JPEG's pixels, or None where Pillow has to read it; and whether libjpeg reads it without a complaint.

    Raises:
      BadImage: the data end early or are damaged, and a decoder would make up the rest, even with an end marker behind.
    """
    try:
        pixels = simplejpeg.decode_jpeg(content)
        return None if mode == "CMYK" else pixels, True
    except ValueError as error:
        complaint = str(error).lower()
        for reason in (reason for words, reason in MADE_UP.items() if words in complaint):
            raise BadImage(reason) from error
        return None, UNUSUAL in complaint


def _pillow_pixels(image: Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    """The pixels that Pillow reads. They are converted strip by strip, because each copy of a whole image is large."""
    image.load()
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    rows = max(1, STRIP // width)
    for top in range(0, height, rows):
        below = min(top + rows, height)
        pixels[top:below] = np.asarray(_rgb(image.crop((0, top, width, below)), image))
    return pixels


def _rgb(strip: Image.Image, whole: Image.Image) -> Image.Image:
    """A strip of an image as RGB."""
    if strip.mode.startswith("I;16"):
        return _rgb_of_deep_grey(strip, getattr(whole, "tag_v2", {}))
    if strip.has_transparency_data:
        strip = strip.convert("RGBA")
        opaque = Image.new("RGB", strip.size, "white")
        opaque.paste(strip, mask=strip)
        return opaque
    # Pillow reads all CMYK of JPEGs as Adobe's, where 255 means no ink. Without Adobe's marker 255 means full ink.
    if strip.mode == "CMYK" and whole.format in JPEG_FORMATS and "adobe" not in whole.info:
        strip = ImageChops.invert(strip)
    return strip.convert("RGB")


def _rgb_of_deep_grey(image: Image.Image, tags: Mapping[int, Any]) -> Image.Image:
    """The upper 8 bits, where Pillow's own conversion would clip at 255; a transparent level becomes white."""
    levels = np.asarray(image)
    grey = (levels >> (tags.get(BITS_PER_SAMPLE, (16,))[0] - 8)).astype(np.uint8)
    if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:
        grey = 255 - grey
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

"""Metadata do not decide whether an image is read, and a file that lacks its end is not read, however it was filled."""

import io
import itertools
import struct
import zlib

import numpy as np
import pytest
import simplejpeg
from PIL import ExifTags, Image

from align_jax.data.images import BadImage, decode, decode_stored, storable
from align_jax.data.whole_files import check_whole, without_metadata
from tests.data.test_images import encoded, png_chunk, scene

PNG, JPEG = encoded(scene(), "PNG"), encoded(scene(), "JPEG", quality=95)
LARGE = np.random.default_rng(0).bytes(2 * 2**20)
SIDEWAYS = ExifTags.Base.Orientation


def exif(kind, value, count=1, tag=SIDEWAYS):
    """EXIF with one tag; `kind` is TIFF's number of a type."""
    place = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<L", 26)
    return b"II*\0" + struct.pack("<LHHHL", 8, 1, tag, kind, count) + place + bytes(4) + (value * (len(value) > 4))


def png_with(*chunks):
    return PNG[:33] + b"".join(chunks) + PNG[33:]


def damaged(chunk):
    return chunk[:-1] + bytes([chunk[-1] ^ 1])


ICC_CUT = b"\xff\xe2\0\x0eICC_PROFILE\0"


def jpeg_with(content, marker=0xE1, more=b""):
    return JPEG[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content + more + JPEG[2:]


def tiff_with(*more):
    """A TIFF with more in its directory: each a tag, the number of its type, and four bytes."""
    content = encoded(scene(), "TIFF", compression="tiff_lzw")
    start = struct.unpack_from("<L", content, 4)[0]
    count = struct.unpack_from("<H", content, start)[0]
    tags = [content[at : at + 12] for at in range(start + 2, start + 2 + 12 * count, 12)]
    tags += [struct.pack("<HHL4s", tag, kind, 1, value) for tag, kind, value in more]
    directory = struct.pack("<H", len(tags)) + b"".join(sorted(tags, key=lambda tag: tag[1::-1])) + bytes(4)
    return content[:4] + struct.pack("<L", len(content)) + content[8:] + directory


WITH_ODD_METADATA = {
    "no orientation's number": encoded(scene(), "JPEG", quality=95, exif=b"Exif\0\0" + exif(3, b"\xff\xff")),
    "orientation in words": jpeg_with(b"Exif\0\0" + exif(2, b"horizontal\0", 11)),
    "orientation divided by 0": png_with(png_chunk(b"eXIf", exif(5, struct.pack("<LL", 6, 0)))),
    "orientation that is not a number": encoded(scene(), "WEBP", lossless=True, exif=exif(11, b"\0\0\xc0\x7f")),
    "noise as EXIF in a PNG": png_with(png_chunk(b"eXIf", LARGE[:60])),
    "noise as EXIF in a JPEG": jpeg_with(b"Exif\0\0" + LARGE[:60]),
    "EXIF that is not hexadecimal": png_with(png_chunk(b"tEXt", b"Raw profile type exif\0\n\n\nzz")),
    "noise as the list of views": jpeg_with(b"MPF\0" + LARGE[:60], 0xE2),
    "colour profile of no length in a JPEG": jpeg_with(b"ICC_PROFILE\0", 0xE2),
    "JFIF without its end": jpeg_with(b"JFIF\0", 0xE0),
    "Adobe without its end": jpeg_with(b"Adobe", 0xEE),
    "noise as EXIF before a colour profile of no length": jpeg_with(b"Exif\0\0" + LARGE[:60], more=ICC_CUT),
    "checksum of the end": PNG[:-1] + b"\0",
    "2 MiB of colour profile in a PNG": encoded(scene(), "PNG", icc_profile=LARGE),
    "2 MiB of colour profile in a JPEG": encoded(scene(), "JPEG", quality=95, icc_profile=LARGE),
    "2 MiB of colour profile in a TIFF": encoded(scene(), "TIFF", icc_profile=LARGE),
    "2 MiB of text": png_with(png_chunk(b"zTXt", b"key\0\0" + zlib.compress(bytes(2 * 2**20)))),
    "colour profile that is none": png_with(png_chunk(b"iCCP", b"noise")),
    "checksum of a text": png_with(damaged(png_chunk(b"tEXt", b"key\0text"))),
    "checksum of a chunk that nobody knows": PNG[:-12] + damaged(png_chunk(b"abCd", b"text")) + PNG[-12:],
    "EXIF of a TIFF that lies nowhere": tiff_with((ExifTags.Base.ExifOffset, 4, b"\xff\xff\xff\0")),
}  # fmt: skip


@pytest.mark.parametrize("content", WITH_ODD_METADATA.values(), ids=WITH_ODD_METADATA)
def test_metadata_do_not_decide(content):
    np.testing.assert_allclose(decode(content).astype(int), scene(), atol=12)
    np.testing.assert_allclose(decode_stored(storable(content)).astype(int), scene(), atol=12)


@pytest.mark.parametrize(
    ("kind", "value", "count"),
    [(3, b"\6\0", 1), (4, b"\6\0\0\0", 1), (1, b"\6", 1), (3, b"\6\0\6\0", 2), (5, struct.pack("<LL", 6, 1), 1)],
)
def test_an_orientation_of_another_type_turns_the_pixels(kind, value, count):
    content = jpeg_with(b"Exif\0\0" + exif(kind, value, count))
    for pixels in (decode(content), decode_stored(storable(content))):
        np.testing.assert_allclose(pixels.astype(int), np.rot90(scene(), -1), atol=12)


def test_damage_to_other_metadata_leaves_the_orientation():
    content = jpeg_with(b"Exif\0\0" + exif(3, b"\6\0"), more=ICC_CUT + b"\xff\xe1\0\x0cExif\0\0zzzz")
    for pixels in (decode(content), decode_stored(storable(content))):
        np.testing.assert_allclose(pixels.astype(int), np.rot90(scene(), -1), atol=12)


def test_what_is_damaged_is_not_left_for_the_fast_reader_to_complain_about():
    content = WITH_ODD_METADATA["checksum of a text"]
    assert storable(content) != content
    extraneous = JPEG[:-2] + b"surplus" + JPEG[-2:]
    assert storable(extraneous) != extraneous
    np.testing.assert_array_equal(decode_stored(storable(extraneous)), decode(JPEG))


def test_only_metadata_are_left_out():
    assert without_metadata(png_with(damaged(png_chunk(b"tEXt", b"")), png_chunk(b"iTXt", b"x"))) == PNG
    assert without_metadata(jpeg_with(b"Exif\0\0")) == JPEG
    assert without_metadata(encoded(scene(), "GIF")) is None
    transparent = encoded(scene(), "PNG", transparency=(1, 2, 3))
    assert without_metadata(transparent) == transparent
    for content in (PNG, JPEG, tiff_with((700, 7, b"x"))):
        for length in range(0, len(content), 50):
            bare = without_metadata(content[:length])
            assert bare is None or without_metadata(bare) == bare


def test_damage_to_what_makes_pixels_is_refused():
    with pytest.raises(BadImage, match="checksum of tRNS"):
        decode(png_with(damaged(png_chunk(b"tRNS", b"\0\1\0\2\0\3"))))
    at = PNG.index(b"IDAT") + 90
    with pytest.raises(BadImage, match="checksum of IDAT"):
        decode(PNG[:at] + bytes([PNG[at] ^ 1]) + PNG[at + 1 :])


@pytest.mark.parametrize("end", [b"", b"\0\0\0\0IEND\xaeB`\x82"], ids=["", "an end"])
def test_a_png_filled_up_with_zeros_is_truncated(end):
    content = encoded(np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8), "PNG")
    for cut in range(100, len(content) - 1, 499):
        with pytest.raises(BadImage, match="truncated"):
            decode(content[:cut] + bytes(len(content) - cut) + end)
    with pytest.raises(BadImage, match="truncated"):
        check_whole(content[:-1])


KINDS = [
    {"mode": mode, "progressive": progressive, "subsampling": subsampling, "restart_marker_blocks": blocks}
    for mode, progressive, subsampling, blocks in itertools.product(("RGB", "L", "CMYK"), (False, True), (0, 2), (0, 4))
    if (mode, subsampling) != ("CMYK", 2)
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
def test_a_jpeg_with_made_up_rows_is_refused_and_a_sound_one_is_not(kind):
    """The cut ones end with an end marker; the sound ones have odd sizes, a preview in their EXIF, and bytes behind."""
    options = {name: value for name, value in kind.items() if name != "mode"}
    preview = b"Exif\0\0" + exif(3, b"\1\0") + encoded(scene(9, 9), "JPEG")
    for height, width in ((1, 1), (17, 3), (93, 121)):
        image = Image.fromarray(scene(height, width)).convert(kind["mode"])
        content = encoded(image, "JPEG", quality=90, exif=preview, **options)
        for surplus in (b"", bytes(99), content):
            expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
            np.testing.assert_array_equal(decode(content + surplus), expected)
            assert (storable(content + surplus) == content + surplus) == (kind["mode"] != "CMYK")
    for share in (0.6, 0.75, 0.9, 0.97):
        with pytest.raises(BadImage):
            decode(content[: int(share * len(content))] + b"\xff\xd9")


def test_noise_in_the_place_of_a_jpegs_pixels_is_refused():
    content = encoded(scene(93, 121), "JPEG", quality=90)
    for seed in range(20):
        noise = np.random.default_rng(seed).bytes(len(content) // 2).replace(b"\xff", b"\xfe")
        with pytest.raises(BadImage, match=r"Huffman|truncated"):
            decode(content[: len(content) // 2] + noise + b"\xff\xd9")


def test_a_jpeg_of_unusual_subsampling_is_read():
    """simplejpeg refuses it, and Pillow does not."""
    content = encoded(Image.fromarray(scene()).convert("CMYK"), "JPEG", subsampling=2)
    with pytest.raises(ValueError, match="subsampling"):
        simplejpeg.decode_jpeg(content)
    np.testing.assert_array_equal(decode(content), np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))


def test_a_tile_is_not_larger_than_an_image_may_be():
    with pytest.raises(BadImage, match="tiles of more than"):
        decode(tiff_with((322, 4, struct.pack("<L", 2**16)), (323, 4, struct.pack("<L", 2**16))))

"""Odd images are read right, or refused by what is wrong with them; the fast reader reads alike what is stored."""

import io
import struct
import subprocess
import sys
import warnings
import zlib

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image

from align_jax.data import images
from align_jax.data.images import BadImage, as_png, decode, decode_mask, decode_stored, storable


def scene(height=30, width=44):
    """Smooth, so that lossy formats stay near; no two quarters alike, so that no rotation goes unnoticed."""
    rows, columns = np.mgrid[0:height, 0:width]
    planes = (255 * rows / height, 255 * columns / width, 128 + 100 * np.sin(rows / 9 + columns / 15))
    return np.stack(planes, -1).astype(np.uint8)


def encoded(pixels, form, **options):
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def png_chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(header, rows, *chunks):
    """A PNG by hand, for what Pillow does not write: `header` is (width, height, bits, colour type)."""
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", struct.pack(">IIBBBBB", *header, 0, 0, 0))
        + b"".join(png_chunk(*chunk) for chunk in chunks)
        + png_chunk(b"IDAT", zlib.compress(rows))
        + png_chunk(b"IEND", b"")
    )


def png_16_bit(levels, colour, *chunks):
    """16-bit PNG of `levels` [h w c]."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    return png((levels.shape[1], levels.shape[0], 16, colour), rows, *chunks)


PLAIN = {
    "JPEG": encoded(scene(), "JPEG", quality=95),
    "progressive JPEG": encoded(scene(), "JPEG", quality=95, progressive=True),
    "grey JPEG": encoded(scene()[..., 0], "JPEG"),
    "PNG": encoded(scene(), "PNG"),
    "grey PNG": encoded(scene()[..., 0], "PNG"),
    "WebP": encoded(scene(), "WEBP", quality=95),
    "lossless WebP": encoded(scene(), "WEBP", lossless=True),
    "JPEG with restart markers": encoded(scene(), "JPEG", quality=95, restart_marker_blocks=1),
    "1 pixel": encoded(scene(1, 1), "JPEG"),
    "1 pixel wide": encoded(scene(70, 1), "PNG"),
}


@pytest.mark.parametrize("content", PLAIN.values(), ids=PLAIN)
def test_a_plain_image_is_stored_as_it_is(content):
    assert storable(content) == content
    np.testing.assert_array_equal(decode(content), np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))
    np.testing.assert_allclose(decode_stored(content).astype(int), decode(content), atol=2)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_images_are_turned_as_their_camera_says_and_once(form, orientation):
    upright = scene()
    # what the camera's sensor saw: the inverse of what a viewer has to do
    lying = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: np.rot90(upright.transpose(1, 0, 2), 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    content = encoded(np.ascontiguousarray(lying), form, exif=exif, quality=95)
    np.testing.assert_allclose(decode(content).astype(int), upright, atol=12)
    stored = storable(content)
    assert (stored == content) == (orientation == 1)
    np.testing.assert_allclose(decode_stored(stored).astype(int), decode(content), atol=2)


def test_one_colour_that_lies_on_its_side_is_not_upright():
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    content = encoded(np.full((4, 4, 3), 9, np.uint8), "PNG", exif=exif)
    assert ExifTags.Base.Orientation not in Image.open(io.BytesIO(storable(content))).getexif()


def test_the_fast_reader_turns_nothing():
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    assert decode_stored(encoded(scene(), "JPEG", exif=exif)).shape == scene().shape
    assert decode(encoded(scene(), "JPEG", exif=exif)).shape == scene().transpose(1, 0, 2).shape


def test_what_the_fast_reader_reads_otherwise_or_not_at_all_is_not_stored_as_it_is(monkeypatch):
    transparent = encoded(scene(), "PNG", transparency=tuple(scene()[0, 0].tolist()))
    assert (decode(transparent)[0, 0] == 255).all()
    np.testing.assert_array_equal(decode_stored(storable(transparent)), decode(transparent))

    def unreadable(content):
        raise BadImage("stored bytes that are no image")

    monkeypatch.setattr(images, "decode_stored", unreadable)
    assert storable(PLAIN["JPEG"]) == as_png(decode(PLAIN["JPEG"]))


def test_alpha_is_composited_over_white():
    alpha = np.linspace(0, 255, 30 * 44).reshape(30, 44, 1).round()
    content = encoded(np.concatenate([scene(), alpha.astype(np.uint8)], -1), "PNG")
    np.testing.assert_allclose(decode(content), (scene() * alpha + 255 * (255 - alpha)) / 255, atol=1)
    np.testing.assert_array_equal(decode_stored(storable(content)), decode(content))
    grey = encoded(np.concatenate([scene()[..., :1], alpha.astype(np.uint8)], -1), "PNG")
    assert (decode(grey)[0, 0] == 255).all()
    np.testing.assert_array_equal(decode_stored(storable(grey)), decode(grey))


def test_palettes_are_looked_up_and_their_transparent_entries_are_white():
    palette = Image.new("P", (3, 1))
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    palette.putdata([0, 1, 2])
    for content in (encoded(palette, "PNG"), encoded(palette, "GIF"), encoded(palette, "BMP")):
        assert decode(content).tolist() == [[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]
        np.testing.assert_array_equal(decode_stored(storable(content)), decode(content))
    for transparency in (1, b"\xff\x00\xff"):
        content = encoded(palette, "PNG", transparency=transparency)
        assert decode(content).tolist() == [[[255, 0, 0], [255, 255, 255], [0, 0, 255]]]
        np.testing.assert_array_equal(decode_stored(storable(content)), decode(content))


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_16_bits_keep_their_upper_8(colour, channels):
    levels = np.random.default_rng(0).integers(0, 2**16, (5, 7, channels))
    if channels in (2, 4):
        levels[..., -1] = 2**16 - 1
    content = png_16_bit(levels, colour)
    colours = levels[..., : 3 if channels > 2 else 1]
    np.testing.assert_array_equal(decode(content), np.broadcast_to(colours, (5, 7, 3)) >> 8)
    assert storable(content) != content
    np.testing.assert_array_equal(decode_stored(storable(content)), decode(content))


def test_a_transparent_level_of_16_bit_grey_is_white():
    levels = np.array([[[1000], [1001], [40000]]])
    content = png_16_bit(levels, 0, (b"tRNS", struct.pack(">H", 1000)))
    assert decode(content)[0, :, 0].tolist() == [255, 1001 >> 8, 40000 >> 8]


def test_a_transparent_colour_of_16_bit_rgb_is_refused():
    with pytest.raises(BadImage, match="16-bit RGB"):
        decode(png_16_bit(np.full((1, 2, 3), 2**12), 2, (b"tRNS", struct.pack(">HHH", 2**12, 2**12, 2**12))))


def test_one_bit_is_black_and_white():
    content = encoded(Image.fromarray(scene()[..., 0] > 99), "PNG")
    np.testing.assert_array_equal(decode(content)[..., 1], 255 * (scene()[..., 0] > 99))


def test_cmyk_becomes_rgb_with_adobe_s_inversion_and_without():
    colour = np.full((16, 16, 3), (200, 80, 30), np.uint8)
    adobe = encoded(Image.fromarray(colour).convert("CMYK"), "JPEG", quality=100)
    start = adobe.index(b"\xff\xee")  # the marker of Adobe's
    length = struct.unpack(">H", adobe[start + 2 : start + 4])[0]
    inverted = Image.fromarray(255 - np.asarray(Image.fromarray(colour).convert("CMYK")), "CMYK")
    bare = encoded(inverted, "JPEG", quality=100)
    bare = bare[:start] + bare[start + 2 + length :]
    for content in (adobe, bare):
        np.testing.assert_allclose(decode(content).astype(int), colour, atol=3)
        assert storable(content) != content
        np.testing.assert_array_equal(decode_stored(storable(content)), decode(content))


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_of_an_animation_is_read(form):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    content = encoded(frames[0], form, save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(decode(content).astype(int), np.full((8, 8, 3), (255, 0, 0)), atol=8)
    assert storable(content) != content
    np.testing.assert_array_equal(decode_stored(storable(content)), decode(content))


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "CMYK", "RGBA", "LA", "I;16"])
def test_a_tiff_is_read_whatever_its_pixels_and_stored_as_png(mode, compression):
    if mode == "I;16":
        image, expected = Image.fromarray(scene()[..., 0].astype(np.uint16) << 8 | 77), scene()[..., :1].repeat(3, -1)
    else:
        image = Image.fromarray(scene()).convert(mode)
        expected = np.asarray(image.convert("RGB"))
    if mode.endswith("A"):
        image.putalpha(Image.fromarray(np.where(np.arange(44) < 9, 0, 255).astype(np.uint8)[None].repeat(30, 0)))
        expected = np.where(np.arange(44)[None, :, None] < 9, 255, expected)
    content = encoded(image, "TIFF", compression=compression)
    np.testing.assert_array_equal(decode(content), expected)
    stored = storable(content)
    assert Image.open(io.BytesIO(stored)).format == "PNG"
    np.testing.assert_array_equal(decode_stored(stored), expected)


def test_16_bit_tiffs_keep_their_upper_8():
    levels = np.random.default_rng(0).integers(0, 2**16, (5, 7, 3), np.uint16)
    coloured = cv2.imencode(".tiff", levels[..., ::-1])[1].tobytes()
    np.testing.assert_array_equal(decode(coloured), levels >> 8)
    grey = encoded(levels[..., 0].copy(), "TIFF")
    np.testing.assert_array_equal(decode(grey)[..., 0], levels[..., 0] >> 8)
    tag = struct.pack("<HHLL", 262, 3, 1, 1)  # zero is black
    assert tag in grey
    white_is_zero = grey.replace(tag, tag[:-4] + bytes(4))
    np.testing.assert_array_equal(decode(white_is_zero)[..., 0], 255 - (levels[..., 0] >> 8))
    with pytest.raises(BadImage, match="pixels of kind F"):
        decode(encoded(levels[..., 0].astype(np.float32), "TIFF"))


def test_the_first_page_of_a_tiff_is_read():
    pages = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime")]
    assert decode(encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:]))[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_a_tiff_is_turned_once(compression):
    tags = {ExifTags.Base.Orientation: 6}
    content = encoded(np.ascontiguousarray(np.rot90(scene())), "TIFF", compression=compression, tiffinfo=tags)
    np.testing.assert_array_equal(decode(content), scene())
    np.testing.assert_array_equal(decode_stored(storable(content)), scene())


def test_a_jpeg_with_further_views_is_a_jpeg():
    content = encoded(scene(), "MPO", save_all=True, append_images=[Image.fromarray(scene()[::-1].copy())])
    assert Image.open(io.BytesIO(content)).format == "MPO"
    np.testing.assert_allclose(decode(content).astype(int), scene(), atol=30)
    assert storable(content) == content


@pytest.mark.parametrize("name", ["JPEG", "progressive JPEG", "grey JPEG", "PNG", "grey PNG", "WebP", "lossless WebP"])
def test_a_file_cut_anywhere_is_refused(name):
    for length in [*range(1, len(PLAIN[name]), 7), len(PLAIN[name]) - 1]:
        with pytest.raises(BadImage):
            storable(PLAIN[name][:length])


@pytest.mark.parametrize("rest", [0.1, 0.5, 0.9])
def test_a_download_filled_up_with_zeros_is_truncated(rest):
    content = encoded(scene(200, 200), "JPEG", exif=b"Exif\0\0\xff\xd9")  # the end of an embedded preview is no end
    cut = int(len(content) * rest)
    with pytest.raises(BadImage, match="truncated"):
        decode(content[:-cut] + bytes(cut))


def test_what_is_wrong_is_said():
    for content, reason in (
        (b"", "empty file"),
        (b"<html>404</html>", "not an image"),
        (b"II*\0" + bytes(100), "not an image"),
        (encoded(scene(), "TIFF")[:-50], "truncated"),
        (bytes(1000), "not an image"),
        (PLAIN["JPEG"][:-40], "truncated"),
        (PLAIN["PNG"][:300], "truncated"),
    ):
        with pytest.raises(BadImage, match=reason):
            storable(content)
    with pytest.raises(BadImage):
        decode_stored(b"")
    with pytest.raises(BadImage):
        decode_stored(b"nothing")


def test_noise_in_a_file_is_refused_or_read_and_nothing_else():
    random = np.random.default_rng(0)
    for content in PLAIN.values():
        for _ in range(40):
            noisy = np.frombuffer(content, np.uint8).copy()
            where = random.integers(0, len(noisy), 3)
            noisy[where] = random.integers(0, 256, 3)
            try:
                assert decode(noisy.tobytes()).shape[-1] == 3
            except BadImage:
                continue


def test_a_bomb_is_refused_before_it_is_unpacked(monkeypatch):
    with pytest.raises(BadImage, match=f"10000 x 10000, more than {images.MOST_PIXELS} pixels"):
        decode(png((10_000, 10_000, 8, 2), b""))
    with pytest.raises(BadImage, match=f"side of {images.LONGEST_SIDE}"):
        decode(png((2**16, 1, 8, 0), b""))
    with pytest.raises(BadImage, match=f"more than {images.MOST_PIXELS} pixels"):
        decode(png((2**20, 2**20, 8, 2), b""))
    monkeypatch.setattr(images, "MOST_PIXELS", 30 * 44 - 1)
    for content in (PLAIN["JPEG"], encoded(scene(), "TIFF", compression="tiff_lzw")):
        with pytest.raises(BadImage, match="44 x 30, more than"):
            decode(content)


def test_a_large_image_is_converted_in_strips(monkeypatch):
    monkeypatch.setattr(images, "STRIP", 100)
    transparent = Image.fromarray(scene())
    transparent.putalpha(Image.fromarray(scene()[..., 0]))
    content = encoded(transparent, "PNG")
    by_strips = decode(content)
    monkeypatch.undo()
    np.testing.assert_array_equal(by_strips, decode(content))


def test_nothing_is_said_on_the_console(tmp_path):
    """In a process of its own, since pytest catches warnings: a large image, odd EXIF, a palette's transparency."""
    palette = Image.new("P", (3, 1))
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    contents = [
        png((10_000, 10_000, 8, 2), b""),
        encoded(scene(), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0" + b"\x12\x01\x03\0\xff\xff\xff\xff" * 4),
        encoded(palette, "PNG", transparency=b"\xff\x00\xff"),
        PLAIN["PNG"][:300],
    ]
    for number, content in enumerate(contents):
        (tmp_path / str(number)).write_bytes(content)
    program = (
        "import pathlib, sys\n"
        "from align_jax.data.images import BadImage, storable, without_pillow_warnings\n"
        "with without_pillow_warnings():\n"
        "    for path in pathlib.Path(sys.argv[1]).iterdir():\n"
        "        try: storable(path.read_bytes())\n"
        "        except BadImage: pass\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_the_filters_of_warnings_are_left_to_one_thread(monkeypatch):
    """They belong to the process: threads that each restored them would restore each other's."""
    before, seen = warnings.filters, []
    reader = images._decode_with_pillow

    def noting(content):
        seen.append(warnings.filters)
        return reader(content)

    monkeypatch.setattr(images, "_decode_with_pillow", noting)
    storable(PLAIN["PNG"])
    assert len(seen) == 1
    assert seen[0] is before
    with images.without_pillow_warnings():
        assert warnings.filters is not before
    assert warnings.filters is before


def test_masks_are_grey_levels():
    mask = np.zeros((6, 9), np.uint8)
    mask[2:4, 3:8] = 255
    soft = np.linspace(0, 255, 54).reshape(6, 9).astype(np.uint8)
    for content, expected in (
        (encoded(mask, "PNG"), mask),
        (encoded(mask // 255, "PNG"), mask),
        (encoded(Image.fromarray(mask > 0), "PNG"), mask),
        (encoded(np.stack([mask] * 3, -1), "PNG"), mask),
        (encoded(np.zeros_like(mask), "PNG"), np.zeros_like(mask)),
        (encoded(soft, "PNG"), soft),
    ):
        decoded = decode_mask(content)
        np.testing.assert_array_equal(decoded, expected[..., None])
        np.testing.assert_array_equal(decode_stored(as_png(decoded), channels=1), decoded)


def test_png_keeps_every_pixel():
    np.testing.assert_array_equal(decode_stored(as_png(scene())), scene())

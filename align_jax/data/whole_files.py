"""What a file's structure says about its image: whether all of it is there, and how to read it without its metadata.

Decoders are lenient. libjpeg and Pillow invent the pixels that a file lacks, and refuse a sound one for damaged text in
it. Nothing is decoded here: the functions follow the lengths that JPEG, PNG and TIFF files give, within the file.
"""

import itertools
import re
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

PNG_START = b"\x89PNG\r\n\x1a\n"
START_OF_JPEG, END_OF_JPEG = b"\xff\xd8", b"\xff\xd9"
START_OF_SCAN = 0xDA
# JPEG's application segments and comments, and how many bytes of one make it more than metadata: JFIF's (0xE0) and
# Adobe's (0xEE) say what the colours are, unless they are too short for libjpeg.
NEVER = 2**16
JPEG_METADATA = dict.fromkeys((*range(0xE1, 0xF0), 0xFE), NEVER) | {0xE0: 14, 0xEE: 12}
EXIF = b"Exif\0\0"
# Where a TIFF's directory points to metadata: SubIFDs, XMP, IPTC, Photoshop's, a colour profile, EXIF and GPS.
TIFF_METADATA = (330, 700, 33723, 34377, 34675, 34665, 34853)


class BadImage(ValueError):
    """Bytes that are not a whole image. The text is the reason; messages put it behind the file's name."""


class _Piece(NamedTuple):
    """A chunk of a PNG or a segment of a JPEG: its kind, and where it lies in the file."""

    kind: bytes
    start: int
    end: int


def check_whole(content: bytes) -> bool:
    """Refuses a PNG or a JPEG without its end, and says whether all checksums are right; other files pass.

    A download that stopped may be filled with zeros: libjpeg reads them as pixels, and Pillow stops at them in a PNG.
    In a PNG only the checksums of what makes pixels have to be right.

    Raises:
      BadImage: the end is missing, or pixels are damaged.
    """
    if content.startswith(PNG_START):
        return _check_png(content)
    if content.startswith(START_OF_JPEG):
        pieces = list(_jpeg_header(content))
        # The end of a preview in the metadata is not the image's.
        if content.find(END_OF_JPEG, pieces[-1].end if pieces else 0) < 0:
            raise BadImage("truncated")
    return True


def without_metadata(content: bytes) -> bytes | None:
    """The same pixels in a file without damaged and foreign metadata; None where the format is not known here.

    A JPEG keeps its first EXIF, which says how it lies, unless it has no other metadata.
    """
    if content.startswith(PNG_START):
        return PNG_START + b"".join(
            content[piece.start : piece.end]
            for piece in _png_chunks(content)
            if _makes_pixels(piece) or (piece.kind == b"eXIf" and _is_sound(content, piece))
        )
    if content.startswith(START_OF_JPEG):
        return _jpeg_without_metadata(content)
    if content.startswith((b"II*\0", b"MM\0*")):
        return _tiff_without_metadata(content)
    return None


def _png_chunks(content: bytes) -> Iterator[_Piece]:
    """The chunks up to IEND, or up to the first one that is not whole."""
    start = len(PNG_START)
    while start + 12 <= len(content):
        kind, end = content[start + 4 : start + 8], start + 12 + int.from_bytes(content[start : start + 4])
        if not kind.isalpha() or end > len(content):
            return
        yield _Piece(kind, start, end)
        if kind == b"IEND":
            return
        start = end


def _check_png(content: bytes) -> bool:
    pieces = list(_png_chunks(content))
    if not pieces or pieces[-1].kind != b"IEND":
        raise BadImage("truncated")
    unsound = [piece for piece in pieces if not _is_sound(content, piece)]
    for piece in (piece for piece in unsound if _makes_pixels(piece) and piece.kind != b"IEND"):
        raise BadImage(f"corrupt (the checksum of {piece.kind.decode()})")
    return not unsound


def _makes_pixels(piece: _Piece) -> bool:
    """Whether a PNG's chunk is critical, or makes pixels transparent."""
    return piece.kind[:1].isupper() or piece.kind == b"tRNS"


def _is_sound(content: bytes, piece: _Piece) -> bool:
    checksum = zlib.crc32(memoryview(content)[piece.start + 4 : piece.end - 4])
    return checksum == int.from_bytes(content[piece.end - 4 : piece.end])


def _jpeg_header(content: bytes) -> Iterator[_Piece]:
    """The segments up to the first scan's header, which is the last piece, or up to the first that is not whole."""
    start = 2
    while marker := re.compile(rb"\xff+([\xc0-\xcf\xda-\xfe])").match(content, start):
        end = marker.end() + int.from_bytes(content[marker.end() : marker.end() + 2])
        if end > len(content):
            return
        yield _Piece(marker[1], start, end)
        if marker[1][0] == START_OF_SCAN:
            return
        start = end


def _jpeg_without_metadata(content: bytes) -> bytes:
    pieces = list(_jpeg_header(content))
    segments = [content[piece.start : piece.end] for piece in pieces]
    payloads = [segment.lstrip(b"\xff")[3:] for segment in segments]  # behind the marker and the length
    metadata = {
        at
        for at, (piece, payload) in enumerate(zip(pieces, payloads, strict=True))
        if len(payload) < JPEG_METADATA.get(piece.kind[0], 0)
    }
    first_exif = next((at for at in sorted(metadata) if payloads[at].startswith(EXIF)), None)
    if len(metadata) > 1:
        metadata.discard(first_exif)
    kept = (segment for at, segment in enumerate(segments) if at not in metadata)
    return content[:2] + b"".join(kept) + content[pieces[-1].end if pieces else 2 :]


def _tiff_without_metadata(content: bytes) -> bytes:
    """The file with another type, which readers skip, for each metadata tag of the first directory."""
    order = "<" if content.startswith(b"II") else ">"
    changed = bytearray(content)
    try:
        (directory,) = struct.unpack_from(f"{order}L", content, 4)
        (count,) = struct.unpack_from(f"{order}H", content, directory)
        for entry in itertools.islice(range(directory + 2, len(content) - 11, 12), count):
            if struct.unpack_from(f"{order}H", content, entry)[0] in TIFF_METADATA:
                changed[entry + 2 : entry + 4] = bytes(2)
    except struct.error:
        pass
    return bytes(changed)

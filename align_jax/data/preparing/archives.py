"""Unpacks a data set's archive that came from anywhere: nothing is written outside its folder, and not without end.

zipfile and tarfile read, but their `extract` and tarfile's data filter do not decide: they rename a member that would
leave the folder, let some links and backslashes through, and have no limit. Here all of that is refused.
"""

import functools
import gzip
import io
import shutil
import stat
import struct
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any, NamedTuple, cast

from tqdm import tqdm

from align_jax.errors import UserError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
# DomainNet, the largest data set of its kind, has 586,575 images.
MOST_MEMBERS = 2_000_000
# Images are compressed already and hardly shrink in an archive; annotations in JSON shrink to a tenth or so. A bomb
# grows a thousandfold. Small archives may be all JSON or drawn masks, and do no harm: 64 MiB is always allowed.
LARGEST_RATIO = 20
ALWAYS_ALLOWED = 64 * 2**20
CHUNK = 2**20
# What untrusted contents bring about inside zipfile, tarfile and gzip.
CORRUPT = (
    zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, struct.error,
    EOFError, OverflowError, RuntimeError, ValueError,
)  # fmt: skip


class _Member(NamedTuple):
    """One entry of an archive: its name, "file", "folder" or what is refused, and what opens a file's bytes."""

    name: str
    kind: str
    open: Callable[[], Any]


def is_archive(path: Path) -> bool:
    """Whether the name ends as an archive's that `extract` reads."""
    return path.name.lower().endswith(SUFFIXES)


def extract(archive: Path, folder: Path) -> Path:
    """Extracts `archive` into `folder`, which is removed again if anything goes wrong.

    Hidden files, `__MACOSX/` and empty folders are left out. A progress bar is shown where stderr is a terminal.

    Args:
      archive: a .zip, .tar, .tar.gz or .tgz file from anywhere.
      folder: where its members go; empty, or made with its parents.

    Returns:
      `folder`.

    Raises:
      FileExistsError: `folder` is not empty.
      UserError: a missing or corrupt archive; a member that would leave the folder, comes twice, or is a link, a
        device or encrypted; more members than MOST_MEMBERS, or more bytes than LARGEST_RATIO times the archive's
        size, or than the disk has free.
    """
    if not archive.is_file():
        raise UserError(f"{archive} is not a file; name an archive that ends in {', '.join(SUFFIXES)}.")
    if folder.is_dir() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _extract_members(archive, folder)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, CORRUPT) and not isinstance(error, UserError):
            raise UserError(f"{archive} is corrupt or incomplete ({error}); fetch it again.") from error
        if isinstance(error, OSError):
            raise UserError(f"{archive} could not be extracted to {folder}: {error.strerror or error}.") from error
        raise
    return folder


def leads_out(name: str) -> bool:
    """Whether a file's relative name, joined to a folder, could lead out of that folder on any system."""
    path = PurePosixPath(name)
    # On Windows a backslash leads on, and a drive leads away.
    return path.is_absolute() or ".." in path.parts or bool(set("\\\0") & set(name) or PureWindowsPath(name).drive)


def _extract_members(archive: Path, folder: Path) -> None:
    size, free = archive.stat().st_size, shutil.disk_usage(folder).free
    most_bytes = min(free, max(LARGEST_RATIO * size, ALWAYS_ALLOWED))
    reason = "is free on the disk" if most_bytes == free else "images in an archive of its size can be"
    written = 0
    with (
        archive.open("rb") as file,
        tqdm(total=size, desc=archive.name, unit="B", unit_scale=True, disable=not sys.stderr.isatty()) as bar,
    ):
        members = _zip_members(file) if archive.name.lower().endswith(".zip") else _tar_members(file)
        for path, member in _accepted(members, archive):
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                raise UserError(f"{archive} holds {member.name!r} twice; extract it yourself if you trust it.")
            with member.open() as source, target.open("wb") as output:
                while chunk := source.read(CHUNK):
                    # What was unpacked counts: sizes in headers are claims.
                    written += len(chunk)
                    if written > most_bytes:
                        raise UserError(
                            f"{archive} unpacks to more than {most_bytes / 1e6:.0f} MB, more than {reason}; "
                            "make room, or extract it yourself if you trust it."
                        )
                    output.write(chunk)
                    bar.update(max(file.tell() - bar.n, 0))


def _accepted(members: Iterator[_Member], archive: Path) -> Iterator[tuple[PurePosixPath, _Member]]:
    """The files to extract and their paths; refuses what no member may be, extracted or not."""
    for count, member in enumerate(members, 1):
        kind = "a name that could lead out of the folder" if leads_out(member.name) else member.kind
        if kind not in ("file", "folder"):
            raise UserError(f"{archive} holds {member.name!r}, {kind}; extract it yourself if you trust it.")
        if count > MOST_MEMBERS:
            raise UserError(f"{archive} has more than {MOST_MEMBERS} members; extract it yourself if you trust it.")
        path = PurePosixPath(member.name)
        if member.kind == "file" and not any(part.startswith(".") or part == "__MACOSX" for part in path.parts):
            yield path, member


def _zip_members(file: IO[bytes]) -> Iterator[_Member]:
    with zipfile.ZipFile(file) as members:
        for info in members.infolist():
            # Unix systems put the kind of file here; others leave it 0.
            mode = stat.S_IFMT(info.external_attr >> 16)
            kind = "folder" if info.is_dir() else "file"
            if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
                kind = "a link or a device"
            elif info.flag_bits & 1:
                kind = "an encrypted file"
            elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                kind = "a file compressed by another method than deflate"
            yield _Member(info.filename, kind, functools.partial(members.open, info))


def _tar_members(file: io.BufferedIOBase) -> Iterator[_Member]:
    # By contents: browsers unpack .tar.gz on the way and keep the name.
    compressed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    stream = _Forward(gzip.GzipFile(fileobj=file) if compressed else file)
    members = tarfile.TarFile(fileobj=cast(IO[bytes], stream))
    while (info := members.next()) is not None:
        members.members.clear()  # type: ignore[attr-defined]  # tarfile would keep them all
        kind = "file" if info.isreg() else "folder" if info.isdir() else "a link or a device"
        yield _Member(info.name, kind, functools.partial(members.extractfile, info))
    # A block of zeros ends a tar; tarfile takes an unreadable header, or none, for its end too.
    if stream.last != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("no end-of-archive mark")
    # gzip's checksum stands at the end.
    while stream.read(CHUNK):
        pass


class _Forward:
    """What tarfile reads from: refuses headers that would not fit in memory, and does not seek where it stands.

    Attributes:
      last: the bytes of the last read.
    """

    def __init__(self, file: io.BufferedIOBase) -> None:
        self._file = file
        self.last = b""

    def read(self, size: int) -> bytes:
        if size > CHUNK:
            raise tarfile.ReadError(f"a header of {size} bytes")
        self.last = self._file.read(size)
        return self.last

    def seek(self, position: int) -> None:
        if position != self._file.tell():
            self._file.seek(position)

    def tell(self) -> int:
        return self._file.tell()

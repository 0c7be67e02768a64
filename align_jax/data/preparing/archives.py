"""Unpacks an archive that is not trusted: nothing is written outside its folder, and the size is limited.

zipfile and tarfile only read here. Their own `extract`, and tarfile's data filter, rename a member that would leave the
folder, let some links and backslashes through, and have no limit. All of that is refused here.
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

from align_jax.data.image_files import is_left_by_a_system
from align_jax.errors import UserError
from align_jax.runtime.interruption import stop_if_asked

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
# DomainNet, the largest data set of its kind, has 586,575 images.
MOST_MEMBERS = 2_000_000
# Images are compressed already and hardly shrink in an archive; annotations in JSON shrink to about a tenth. A bomb
# grows a thousandfold. Small archives may hold only JSON or drawn masks, and do no harm: 64 MiB is always allowed.
LARGEST_RATIO = 20
ALWAYS_ALLOWED = 64 * 2**20
CHUNK = 2**20
# What zipfile, tarfile and gzip raise when the contents are broken.
CORRUPT = (
    zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, struct.error,
    EOFError, OverflowError, RuntimeError, ValueError,
)  # fmt: skip


class _Member(NamedTuple):
    """One entry of an archive, and what opens its bytes."""

    name: str
    kind: str  # "file", "folder", or what is refused
    open: Callable[[], Any]


def is_archive(path: Path) -> bool:
    """Whether the name ends in one of the `SUFFIXES`."""
    return path.name.lower().endswith(SUFFIXES)


def extract(archive: Path, folder: Path) -> Path:
    """Extracts a .zip, .tar, .tar.gz or .tgz file into `folder`, and returns that.

    The folder is made if it is not there, and removed if anything goes wrong. Hidden files, what systems leave in
    folders (`__MACOSX/`) and empty folders are left out. A progress bar is shown where stderr is a terminal.

    Raises:
      FileExistsError: `folder` is not empty.
      UserError: the archive is missing or corrupt; a member would leave the folder, comes twice, or is a link, a
        device or encrypted; there are more members than MOST_MEMBERS, or more bytes than LARGEST_RATIO times the
        archive's size, or more than the disk has free.
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
    """Whether a file's relative name, joined to a folder, could leave that folder on any system."""
    path = PurePosixPath(name)
    # On Windows a backslash separates folders, and a drive's letter begins at another folder.
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
                    stop_if_asked("what was extracted is removed, and the same command begins again.")
                    # Only the bytes that come out are counted: the sizes in headers may be false.
                    written += len(chunk)
                    if written > most_bytes:
                        raise UserError(
                            f"{archive} unpacks to more than {most_bytes / 1e6:.0f} MB, more than {reason}; "
                            "make room, or extract it yourself if you trust it."
                        )
                    output.write(chunk)
                    bar.update(max(file.tell() - bar.n, 0))


def _accepted(members: Iterator[_Member], archive: Path) -> Iterator[tuple[PurePosixPath, _Member]]:
    """The files to extract and their paths. Members that are left out are checked as well."""
    for count, member in enumerate(members, 1):
        path = PurePosixPath(member.name)
        kind = "a name that could lead out of the folder" if leads_out(member.name) else member.kind
        if kind == "file" and not path.name:
            kind = "a file without a name"
        if kind not in ("file", "folder"):
            raise UserError(f"{archive} holds {member.name!r}, {kind}; extract it yourself if you trust it.")
        if count > MOST_MEMBERS:
            raise UserError(f"{archive} has more than {MOST_MEMBERS} members; extract it yourself if you trust it.")
        if member.kind == "file" and not any(map(is_left_by_a_system, path.parts)):
            yield path, member


def _zip_members(file: IO[bytes]) -> Iterator[_Member]:
    with zipfile.ZipFile(file) as members:
        for info in members.infolist():
            # Unix systems put the kind of file here; other systems leave it 0.
            mode = stat.S_IFMT(info.external_attr >> 16)
            kind = "folder" if info.filename.endswith("/") else "file"  # is_dir() fails where there is no name
            if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
                kind = "a link or a device"
            elif info.flag_bits & 1:
                kind = "an encrypted file"
            elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                kind = "a file compressed by another method than deflate"
            # zipfile cuts `filename` at a NUL, which is refused here.
            yield _Member(info.orig_filename, kind, functools.partial(members.open, info))


def _tar_members(file: io.BufferedIOBase) -> Iterator[_Member]:
    # The contents decide: a browser may unpack a .tar.gz while it downloads, and keep the name.
    compressed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    stream = _Forward(gzip.GzipFile(fileobj=file) if compressed else file)
    members = tarfile.TarFile(fileobj=cast(IO[bytes], stream))
    while (info := members.next()) is not None:
        members.members.clear()  # type: ignore[attr-defined]  # tarfile would keep them all
        kind = "file" if info.isreg() else "folder" if info.isdir() else "a link or a device"
        yield _Member(info.name, kind, functools.partial(members.extractfile, info))
    # A block of zeros ends a tar. tarfile also stops, without an error, where a header is unreadable or missing.
    if stream.last != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("no end-of-archive mark")
    if compressed:
        # gzip checks its checksum when the end is read, which is near: tar fills its last block up with zeros.
        for _ in range(ALWAYS_ALLOWED // CHUNK + 1):
            if not stream.read(CHUNK):
                return
        raise tarfile.ReadError(f"more than {ALWAYS_ALLOWED >> 20} MiB behind its end")


class _Forward:
    """What tarfile reads from: it refuses headers that are too large for memory, and does not seek without need."""

    def __init__(self, file: io.BufferedIOBase) -> None:
        self._file = file
        self.last = b""  # the bytes of the last read

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

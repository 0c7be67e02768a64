"""An archive comes out whole or not at all, inside its folder, and within bounds."""

import gzip
import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from align_jax.data.preparing import archives
from align_jax.data.preparing.archives import extract, is_archive
from align_jax.errors import UserError

KINDS = ("data.zip", "data.tar", "data.tar.gz", "data.tgz")
MEMBERS = {
    "PACS/art/dog/1.jpg": b"one",
    "PACS/art/dog/2.jpg": bytes(1024),
    "PACS/art/cat/é.png": b"three",
    "empty": b"",
}


def make(path: Path, members: dict[str, bytes]) -> Path:
    """An archive of the kind that the name says."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in members.items():
                info = zipfile.ZipInfo(name)
                info.compress_type = zipfile.ZIP_DEFLATED
                with file.open(info, "w") as member:  # `writestr` fails without a name
                    member.write(content)
        return path
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(archive: Path, *words: str) -> None:
    """`extract` refuses, in one sentence that holds `words`, and leaves nothing behind."""
    before = set(archive.parent.iterdir())
    with pytest.raises(UserError) as refusal:
        extract(archive, archive.parent / "out")
    assert set(archive.parent.iterdir()) == before
    for word in (str(archive), *words):
        assert word in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_archives_are_told_by_their_names():
    assert all(is_archive(Path("folder") / name) for name in (*KINDS, "DATA.ZIP", "a.b.tar.gz"))
    assert not any(is_archive(Path(name)) for name in ("zip", "data.gz", "data.tar.xz", "data.zip.part", "tar/data"))


@pytest.mark.parametrize("kind", KINDS)
def test_members_come_out(tmp_path, kind):
    folder = tmp_path / "made" / "out"
    assert extract(make(tmp_path / kind, MEMBERS), folder) == folder
    assert files(folder) == MEMBERS
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.parametrize("kind", KINDS)
def test_junk_stays_in(tmp_path, kind):
    junk = {"__MACOSX/PACS/._1.jpg": b"x", "PACS/.DS_Store": b"x", ".git/config": b"x", "./a/./b.jpg": b"kept"}
    assert files(extract(make(tmp_path / kind, junk), tmp_path / "out")) == {"a/b.jpg": b"kept"}


def test_a_tar_of_a_whole_folder_comes_out(tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / ("long" * 40)).write_bytes(b"x")
    (tmp_path / "in" / "sealed").write_bytes(b"y")
    (tmp_path / "in" / "sealed").chmod(0o4000)
    with tarfile.open(tmp_path / "data.tar", "w", format=tarfile.PAX_FORMAT) as file:
        file.add(tmp_path / "in", ".")
    folder = extract(tmp_path / "data.tar", tmp_path / "out")
    assert files(folder) == {"deep/" + "long" * 40: b"x", "sealed": b"y"}
    assert not stat.S_IMODE((folder / "sealed").stat().st_mode) & 0o7000


def test_a_tar_that_a_browser_unpacked_on_the_way_is_read(tmp_path):
    make(tmp_path / "data.tar", MEMBERS).rename(tmp_path / "data.tar.gz")
    assert files(extract(tmp_path / "data.tar.gz", tmp_path / "out")) == MEMBERS


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name",
    [
        "../escaped",
        "/escaped",
        "a/../../escaped",
        "a/..",
        "C:/escaped",
        "c:escaped",
        "..\\escaped",
        "a\\b",
        "\\\\host\\x",
    ],
)
def test_members_that_lead_out_are_refused(tmp_path, kind, name):
    (tmp_path / "deep").mkdir()
    refused(make(tmp_path / "deep" / kind, {"fine": b"x", name: b"escaped"}), repr(name))
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["", ".", "./."])
def test_a_file_without_a_name_is_refused(tmp_path, kind, name):
    refused(make(tmp_path / kind, {"fine": b"x", name: b"nameless"}), repr(name), "a file without a name")


def test_a_name_with_a_nul_in_a_zip_is_refused_and_not_cut(tmp_path):
    content = make(tmp_path / "data.zip", {"fineXexe": b"x"}).read_bytes()
    (tmp_path / "data.zip").write_bytes(content.replace(b"fineXexe", b"fine\0exe"))
    refused(tmp_path / "data.zip", r"'fine\x00exe'", "lead out")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
@pytest.mark.parametrize("name", ["way", ".way"])
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind, name):
    with tarfile.open(tmp_path / "data.tar", "w") as file:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, "/etc"
        file.addfile(info)
        file.addfile(tarfile.TarInfo(f"{name}/passwd"))
    refused(tmp_path / "data.tar", repr(name), "a link or a device")


def test_links_and_ciphers_in_a_zip_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as file:
        info = zipfile.ZipInfo("way")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(info, "/etc")
    refused(tmp_path / "data.zip", "'way'", "a link or a device")

    content = bytearray(make(tmp_path / "data.zip", {"secret": b"x"}).read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1  # the flag in the central directory
    (tmp_path / "data.zip").write_bytes(content)
    refused(tmp_path / "data.zip", "'secret'", "an encrypted file")

    with zipfile.ZipFile(tmp_path / "data.zip", "w", zipfile.ZIP_LZMA) as file:
        file.writestr("odd", "x")
    refused(tmp_path / "data.zip", "'odd'", "another method")


@pytest.mark.parametrize("kind", KINDS)
def test_a_bomb_is_refused_by_what_was_unpacked(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(archives, "ALWAYS_ALLOWED", 2**20)
    bomb = make(tmp_path / kind, {f"{number}.jpg": bytes(2**19) for number in range(3)})
    monkeypatch.setattr(archives, "LARGEST_RATIO", 0.5 * 3 * 2**19 / bomb.stat().st_size)
    refused(bomb, "unpacks to more than 1 MB")
    monkeypatch.setattr(archives, "LARGEST_RATIO", 2 * 3 * 2**19 / bomb.stat().st_size)
    assert len(files(extract(bomb, tmp_path / "out"))) == 3


def test_a_header_that_lies_about_its_size_does_not_help(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "ALWAYS_ALLOWED", 2**20)
    archive = make(tmp_path / "data.zip", {"big": bytes(3 * 2**20)})
    content = archive.read_bytes()
    archive.write_bytes(content.replace((3 * 2**20).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    refused(archive)


def test_no_more_is_written_than_the_disk_has_free(tmp_path, monkeypatch):
    usage = archives.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    refused(make(tmp_path / "data.zip", MEMBERS), "free on the disk")


def test_an_archive_is_not_read_without_end(tmp_path, monkeypatch):
    """Zeros end a tar: they are not read if it is a large empty file, nor unpacked if there are very many."""
    with (tmp_path / "data.tar").open("wb") as file:
        file.truncate(2**40)
    assert files(extract(tmp_path / "data.tar", tmp_path / "empty")) == {}
    monkeypatch.setattr(archives, "ALWAYS_ALLOWED", 2**20)
    with gzip.open(tmp_path / "data.tar.gz", "wb", compresslevel=1) as file:
        file.write(bytes(3 * 2**20))
    refused(tmp_path / "data.tar.gz", "behind its end")


@pytest.mark.parametrize("kind", KINDS)
def test_too_many_members_are_refused(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(archives, "MOST_MEMBERS", 3)
    refused(make(tmp_path / kind, MEMBERS), "more than 3 members")


def test_an_extended_header_is_not_read_into_memory_without_end(tmp_path):
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 64 * 2**20
    with gzip.open(tmp_path / "data.tar.gz", "wb") as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT) + b"a" * info.size)
    refused(tmp_path / "data.tar.gz", f"a header of {info.size} bytes")


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_cut_anywhere_is_refused(tmp_path, kind):
    content = make(tmp_path / kind, {f"{number}.jpg": os.urandom(700) for number in range(4)}).read_bytes()
    # A tar ends in zeros, of which a block suffices.
    end = 512 * (4 * 3) if kind == "data.tar" else len(content)
    for length in [*range(0, end, 97 if kind != "data.tar" else 256), end - 1]:
        (tmp_path / kind).write_bytes(content[:length])
        refused(tmp_path / kind, "corrupt or incomplete")


def test_a_spoilt_header_in_the_middle_of_a_tar_is_noticed(tmp_path):
    content = bytearray(make(tmp_path / "data.tar", {"1": b"x", "2": b"y"}).read_bytes())
    content[1024] ^= 1
    (tmp_path / "data.tar").write_bytes(content)
    refused(tmp_path / "data.tar", "corrupt or incomplete")


@pytest.mark.parametrize("kind", ["data.zip", "data.tar.gz"])
def test_a_flipped_bit_is_noticed(tmp_path, kind):
    content = bytearray(make(tmp_path / kind, {"noise": os.urandom(5000)}).read_bytes())
    content[2500] ^= 1
    (tmp_path / kind).write_bytes(content)
    refused(tmp_path / kind, "corrupt or incomplete")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_archive_is_refused(tmp_path, kind):
    (tmp_path / kind).write_bytes(b"<html>Quota exceeded</html>" * 100)
    refused(tmp_path / kind, "corrupt or incomplete")
    (tmp_path / kind).unlink()
    refused(tmp_path / kind, "is not a file")


@pytest.mark.parametrize("kind", KINDS)
def test_names_that_collide_are_refused(tmp_path, kind):
    path = tmp_path / kind
    if kind == "data.zip":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("same", b"1")
            with pytest.warns(UserWarning, match="Duplicate"):
                file.writestr("same", b"2")
    else:
        with tarfile.open(path, "w") as file:
            file.addfile(tarfile.TarInfo("same"))
            file.addfile(tarfile.TarInfo("same"))
    refused(path, "'same' twice")
    refused(make(path, {"a": b"file", "a/b": b"in it"}))


def test_a_folder_that_holds_anything_is_refused_and_stays_as_it_is(tmp_path):
    folder = extract(make(tmp_path / "data.zip", MEMBERS), tmp_path / "out")
    make(tmp_path / "data.zip", {"other": b"x"})
    with pytest.raises(FileExistsError):
        extract(tmp_path / "data.zip", folder)
    assert files(folder) == MEMBERS


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "out").mkdir()
    assert files(extract(make(tmp_path / "data.zip", MEMBERS), tmp_path / "out")) == MEMBERS


def test_an_interrupted_extraction_leaves_nothing(tmp_path, monkeypatch):
    accepted = archives._accepted

    def interrupted(members, path):
        yield next(accepted(members, path))
        raise KeyboardInterrupt

    monkeypatch.setattr(archives, "_accepted", interrupted)
    with pytest.raises(KeyboardInterrupt):
        extract(make(tmp_path / "data.zip", MEMBERS), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["data.zip"]


def test_a_bar_is_shown_on_a_terminal_only(tmp_path, monkeypatch, capsys):
    archive = make(tmp_path / "data.zip", MEMBERS)
    extract(archive, tmp_path / "quiet")
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    extract(archive, tmp_path / "shown")
    output = capsys.readouterr()
    assert output.out == ""
    assert "data.zip" in output.err

import errno
import os
import signal
import subprocess
import sys
import threading

import pytest

from align_jax.runtime.files import real, write_atomically


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = write_atomically(tmp_path / "made" / "index.html", b"old")
    seen = []

    def interrupted(source, target):
        seen.append((source.read_bytes(), path.read_bytes()))
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert seen == [(b"new", b"old")]
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_what_a_killed_process_left_is_taken_over(tmp_path):
    """It writes a part, is killed, and the next one writes less."""
    program = (
        "import os, pathlib, signal, sys\n"
        "from align_jax.runtime.files import real, write_atomically\n"
        "os.replace = lambda source, target: os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_atomically(pathlib.Path(sys.argv[1]), b'a part of much')\n"
    )
    path = tmp_path / "summary.json"
    assert subprocess.run([sys.executable, "-c", program, str(path)]).returncode == -signal.SIGKILL
    assert [left.read_bytes() for left in tmp_path.iterdir()] == [b"a part of much"]
    write_atomically(path, b"less")
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"less"


@pytest.mark.parametrize("locks", ["as they are", "none", "another user's file"])
def test_several_writers_at_once_leave_one_whole_file(tmp_path, monkeypatch, locks):
    path = tmp_path / "shared"
    if locks == "none":

        def flock(descriptor, operation):
            raise OSError(errno.ENOLCK, "no locks available")

        monkeypatch.setattr("fcntl.flock", flock)
    if locks == "another user's file":
        open_file = os.open

        def refusing(name, *arguments):
            if str(name).endswith(".shared.part"):
                raise PermissionError
            return open_file(name, *arguments)

        monkeypatch.setattr(os, "open", refusing)
    contents = [bytes([number]) * 100_000 for number in range(8)]
    threads = [threading.Thread(target=write_atomically, args=(path, content)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_never_takes_the_place_of_a_device_or_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "pipe", tmp_path / "folder"):
        with pytest.raises(OSError, match="not a regular file"):
            write_atomically(path, b"content")
    assert {path.name for path in tmp_path.iterdir()} == {"pipe", "folder"}
    assert (tmp_path / "pipe").is_fifo()


def test_a_link_to_itself_has_a_real_path(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "way").symlink_to(tmp_path)
    assert real(tmp_path / "way" / "loop") == real(tmp_path) / "loop"

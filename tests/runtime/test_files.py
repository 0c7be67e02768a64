import os

import pytest

from align_jax.runtime.files import write_atomically


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

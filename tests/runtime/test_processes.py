"""With one process nothing is asked of others; with several that have not joined, the user hears what to do."""

import jax
import pytest

from align_jax.errors import UserError
from align_jax.runtime.processes import check_alike, check_shared, from_writer, gathered, is_writer, writer_first


def test_a_process_that_is_alone_asks_nobody(tmp_path):
    assert is_writer()
    assert from_writer(lambda: (1, 2)) == (1, 2)
    assert writer_first(lambda: "result") == "result"
    assert gathered(b"content") == [b"content"]
    check_alike("data", {"name": "squares"})
    check_shared(tmp_path, "--workdir")
    assert not list(tmp_path.iterdir())


def test_a_host_of_a_slice_that_was_not_told_of_the_others_is_refused(monkeypatch):
    """The runtime of a TPU slice counts its hosts' processes, whether or not they have joined."""
    monkeypatch.setattr(jax, "process_count", lambda: 4)
    for ask in (lambda: from_writer(lambda: 1), lambda: writer_first(lambda: 1)):
        with pytest.raises(UserError, match=r"one of 4 that share their devices; .* --distributed=auto"):
            ask()

import json
import os
import struct
import threading
from contextlib import closing
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

from align_jax.errors import UserError
from align_jax.training.metrics_log import MetricsWriter


def write(run, steps, *, from_byte=0, from_step=0):
    with closing(MetricsWriter(run, tensorboard=False, from_byte=from_byte, from_step=from_step)) as log:
        for step in steps:
            log.write(step, "train", {"loss": 1 / step, "grad": float("nan")})
        return log.position(), log.problem


def steps(run):
    return [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_run_that_resumes_drops_the_lines_behind_its_checkpoint(tmp_path):
    at_4, _ = write(tmp_path, [2, 4])
    write(tmp_path, [6], from_byte=at_4, from_step=4)
    _, problem = write(tmp_path, [6, 8], from_byte=at_4, from_step=4)
    assert steps(tmp_path) == [2, 4, 6, 8]
    assert not problem
    # A run that is stopped before its next line saves the position of no line.
    assert write(tmp_path, [], from_byte=at_4, from_step=4) == (at_4, "")
    assert steps(tmp_path) == [2, 4]


@pytest.mark.parametrize(("kept", "left"), [(0, []), (30, []), (60, [2]), (None, [])])
def test_a_log_that_was_cut_short_goes_on_behind_its_last_whole_line_and_says_so(tmp_path, kept, left):
    path = tmp_path / "metrics.jsonl"
    at_4, _ = write(tmp_path, [2, 4])
    if kept is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:kept])
    _, problem = write(tmp_path, [6], from_byte=at_4, from_step=4)
    assert steps(tmp_path) == [*left, 6]
    assert f"{path} has {kept or 0} bytes, and it had {at_4} at step 4" in problem


def events(path):
    """An event file is a row of records: length, its checksum, content, its checksum."""
    content, read = path.read_bytes(), []
    while content:
        (length,) = struct.unpack("Q", content[:8])
        read.append(Event.FromString(content[12 : 12 + length]))
        content = content[16 + length :]
    return read


def test_tensorboard_gets_every_number_at_once_and_forgets_what_a_resumed_run_repeats(tmp_path):
    threads = threading.active_count()
    with closing(MetricsWriter(tmp_path, tensorboard=True, from_byte=0, from_step=4)) as log:
        log.write(6, "test", {"role": "ood", "domain": "noto", "accuracy": 0.5, "loss": float("nan"), "examples": 12})
        (path,) = (tmp_path / "tensorboard").iterdir()
        _, start, line = events(path)
    assert (start.step, start.session_log.status) == (5, SessionLog.START)
    assert {value.tag: value.simple_value for value in line.summary.value} == {
        "ood/noto/accuracy": 0.5,
        "ood/noto/examples": 12,
    }
    assert line.step == 6
    assert threading.active_count() == threads, "a thread that fails lets its queue fill, and training wait"


def test_the_log_is_closed_between_two_lines(tmp_path):
    """A mounted bucket uploads a file when it is closed; one that stayed open would be lost with the machine."""

    def open_files():
        return {os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()}

    with closing(MetricsWriter(tmp_path, tensorboard=False, from_byte=0, from_step=0)) as log:
        log.write(2, "train", {"loss": 0.5})
        log.position()
        assert str(tmp_path / "metrics.jsonl") not in open_files()
        with (tmp_path / "metrics.jsonl").open():
            assert str(tmp_path / "metrics.jsonl") in open_files()


def test_a_folder_in_the_logs_place_is_named(tmp_path):
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(UserError, match=r"metrics\.jsonl is a folder"):
        MetricsWriter(tmp_path, tensorboard=False, from_byte=0, from_step=0)

"""A run says what it ran on, each time that it starts."""

import json

import jax
import pytest

from align_jax.runs.environment import MOST_STARTS, add_start, describe_environment


def starts(run):
    return json.loads((run / "environment.json").read_text())["starts"]


def test_a_run_has_its_start(trained_run):
    (start,) = starts(trained_run)
    assert start["packages"]["jax"] == jax.__version__
    assert start["devices"] == {"platform": "cpu", "kind": jax.devices()[0].device_kind, "count": 1, "processes": 1}
    assert start["time"].endswith("+00:00")
    assert start["command"].startswith("python ")


def test_a_command_can_be_pasted():
    assert describe_environment(["main.py", "--config.compare=('a', 'b')"])["command"] == (
        "main.py '--config.compare=('\"'\"'a'\"'\"', '\"'\"'b'\"'\"')'"
    )


def test_later_starts_are_added_and_their_number_is_bounded(tmp_path):
    earlier = [{"command": str(number)} for number in range(MOST_STARTS - 1)]
    (tmp_path / "environment.json").write_text(json.dumps({"starts": earlier}))
    for number in range(MOST_STARTS - 1, MOST_STARTS + 20):
        add_start(tmp_path, [str(number)])
    commands = [start["command"] for start in starts(tmp_path)]
    assert len(commands) == MOST_STARTS
    assert commands[:3] == ["0", "1", "2"]
    assert commands[-2:] == [str(MOST_STARTS + 18), str(MOST_STARTS + 19)]


@pytest.mark.parametrize("content", ["", "[]", '{"starts": 3}', '{"starts": [1]}'])
def test_a_damaged_file_is_begun_anew(tmp_path, content):
    (tmp_path / "environment.json").write_text(content)
    add_start(tmp_path, ["again"])
    assert [start["command"] for start in starts(tmp_path)] == ["again"]

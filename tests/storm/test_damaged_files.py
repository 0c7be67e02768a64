"""Files of a stopped run that are cut, changed, emptied or gone: it ends as if nothing had happened, or says what is
wrong in one sentence and changes nothing.
"""

import random
import shutil

import jax
import numpy as np
import pytest

from align_jax.errors import UserError
from align_jax.training import train_and_evaluate
from tests.processes import states
from tests.tiny_config import get_config

pytestmark = pytest.mark.storm
DAMAGES = 60


def cut(path, draw):
    path.write_bytes(path.read_bytes()[: draw.randrange(path.stat().st_size)])


def flip_a_bit(path, draw):
    content = bytearray(path.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def append(path, draw):
    path.write_bytes(path.read_bytes() + draw.randbytes(20))


def empty(path, draw):
    path.write_bytes(b"")


def delete(path, draw):
    path.unlink()


def replace_by_a_folder(path, draw):
    path.unlink()
    path.mkdir()


def files(run):
    """What a run keeps; what says who trains there, and where, may change with every start."""
    free = (".training.lock", "environment.json")
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name not in free}


def refusal(run):
    """The sentence that a run ends with; None where it comes to its end."""
    try:
        train_and_evaluate(get_config(), run)
    except UserError as error:
        return str(error)
    return None


def test_damaged_files_are_survived_or_named(halfway, uninterrupted, tmp_path, capsys):
    draw = random.Random(0)
    whole, outcomes = states(uninterrupted), []
    for number in range(DAMAGES):
        run = tmp_path / f"run{number}"
        shutil.copytree(halfway, run)
        path = draw.choice(sorted(path for path in run.rglob("*") if path.is_file() and path.stat().st_size))
        damage = draw.choice((cut, flip_a_bit, append, empty, delete, replace_by_a_folder))
        damage(path, draw)
        what = f"{damage.__name__} {path.relative_to(run)}"
        left = files(run)
        sentence = refusal(run)
        if sentence is None:
            jax.tree.map(np.testing.assert_array_equal, states(run), whole)
        else:
            assert str(run) in sentence, what
            assert "\n" not in sentence, what
            assert files(run) == left, f"{what}: something was changed by a run that was refused"
        outcomes.append(f"{what}: {sentence or 'survived'}".replace(str(tmp_path), ""))
        shutil.rmtree(run)
    capsys.readouterr()
    print("\n".join(outcomes))

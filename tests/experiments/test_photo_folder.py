"""The folder of docs/your_data.md: nothing of its test was trained on, and nothing of a user's is written over."""

import collections

import pytest

from align_jax.errors import UserError
from experiments.photo_folder import BACKGROUNDS, HELD_OUT, photographs, write


def test_the_held_out_domain_shows_other_objects_each_on_all_backgrounds():
    groups = collections.defaultdict(list)
    for photograph in photographs(per_object=1):
        groups[photograph.path.partition("/")[0] == HELD_OUT, photograph.object].append(photograph.group)
    trained, held_out = ({name for of_test, name in groups if of_test == side} for side in (False, True))
    assert trained
    assert trained.isdisjoint(held_out)
    assert all(groups[True, name] == list(BACKGROUNDS) for name in held_out)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine.jpg").write_bytes(b"mine")
    with pytest.raises(UserError, match="is there already; name a new folder"):
        write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.jpg"]

"""What was prepared is used again, and says where it came from and what is missing in it."""

import json
from pathlib import Path

from align_jax.data.datasets.domain_folders import prepare
from tests.data.small_folders import refused, spoil


def test_where_it_was_prepared_from_is_said_when_it_is_used_again(root, tmp_path, capsys):
    prepare(root, tmp_path / "prepared", folder="Mine")
    assert "Using" not in capsys.readouterr().err
    builder = prepare(tmp_path / "another", tmp_path / "prepared", folder="Mine")
    assert capsys.readouterr().err == (
        f"Using Mine prepared from {root / 'Mine'} (8 images, 0 left out) in "
        f"{tmp_path / 'prepared' / 'domain_folders' / 'Mine' / '1.0.0'}; delete it to prepare anew.\n"
    )
    assert builder.info.metadata["source"] == str(root / "Mine")


def test_what_was_prepared_without_bad_images_is_not_complete(root, tmp_path, capsys):
    spoil(root / "Mine")
    prepare(root, tmp_path / "prepared", folder="Mine", on_bad_image="skip", most_skipped=1.0)
    text = refused(root, tmp_path / "prepared", folder="Mine")
    for part in ("(2)", "on_bad_image=skip", "delete the folder"):
        assert part in text
    prepare(root, tmp_path / "prepared", folder="Mine", on_bad_image="skip", most_skipped=1.0)
    assert "(6 images, 2 left out)" in capsys.readouterr().err


def test_what_an_earlier_version_prepared_is_refused(root, tmp_path):
    prepare(root, tmp_path / "prepared", folder="Mine")
    path = tmp_path / "prepared" / "domain_folders" / "Mine" / "1.0.0" / "metadata.json"
    metadata = json.loads(path.read_text())
    del metadata["duplicates"]
    path.write_text(json.dumps(metadata))
    assert "delete it to prepare anew" in refused(root, tmp_path / "prepared", folder="Mine")


def test_a_root_behind_a_folder_that_may_not_be_searched_is_unreadable(root, tmp_path, monkeypatch):
    """Not absent, and no matter of where prepared data sets are written."""

    is_dir = Path.is_dir

    def guarded(path):
        if path.is_relative_to(root):
            raise PermissionError(13, "Permission denied", str(path))
        return is_dir(path)

    monkeypatch.setattr("pathlib.Path.is_dir", guarded)
    text = refused(root, tmp_path / "prepared", folder="Mine")
    assert f"{root} cannot be read (Permission denied)" in text

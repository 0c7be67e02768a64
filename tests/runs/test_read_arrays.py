import os

import numpy as np
import pytest

from align_jax.runs import read_arrays
from align_jax.runs.read_arrays import read_gallery, read_predictions


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("image", np.zeros((3, 8, 8, 3), np.float32)),
        ("grad_cam", np.zeros((3, 4, 4), np.float32)),
        ("label", np.zeros(2, np.int64)),
        ("domain", np.arange(3)),
        ("predicted", np.array([None, None, None])),
    ],
)
def test_gallery_arrays_must_belong_together(make_run, key, value):
    run = make_run()
    path = run / "gallery" / "final.npz"
    arrays = dict(np.load(path)) | {key: value}
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=f"{path} is broken .*delete it to have a report without"):
        read_gallery(run)
    del arrays[key]
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=f"it lacks {key}"):
        read_gallery(run)


def test_maps_that_are_not_finite_become_zero(make_run):
    run = make_run()
    path = run / "gallery" / "final.npz"
    arrays = dict(np.load(path))
    arrays["grad_cam"][0] = np.nan
    np.savez(path, **arrays)
    assert (read_gallery(run).grad_cam[0] == 0).all()


def test_a_run_without_images_is_read(make_run):
    run = make_run()
    (run / "gallery" / "final.npz").unlink()
    assert read_gallery(run) is None


def test_other_images_before_the_guidance_are_refused(make_run):
    run = make_run()
    path = run / "gallery" / "before_guidance.npz"
    assert read_gallery(run).grad_cam_before.shape == read_gallery(run).grad_cam.shape
    arrays = dict(np.load(path))
    arrays["image"] = 255 - arrays["image"]
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=f"{path} holds other images than"):
        read_gallery(run)
    path.unlink()
    assert read_gallery(run).grad_cam_before is None


def test_what_unpacks_to_more_than_fits_is_refused(make_run, monkeypatch):
    run = make_run()
    path = run / "gallery" / "final.npz"
    np.savez_compressed(path, image=np.zeros((3, 64, 64, 3), np.uint8))
    assert path.stat().st_size < 1000
    monkeypatch.setattr(read_arrays, "MOST_BYTES", 10_000)
    with pytest.raises(ValueError, match="arrays are larger than"):
        read_gallery(run)


def test_a_pipe_is_not_waited_for(make_run):
    run = make_run()
    (run / "gallery" / "final.npz").unlink()
    os.mkfifo(run / "gallery" / "final.npz")
    with pytest.raises(ValueError, match="is not a file"):
        read_gallery(run)


@pytest.mark.parametrize(
    "change",
    [
        {"x/test/label": np.zeros(3, int)},
        {"x/test/probabilities": np.zeros(4)},
        {"x/test/id": np.array([None] * 4)},
    ],
)
def test_predictions_must_belong_together(tmp_path, change):
    arrays = {
        "x/test/probabilities": np.eye(2)[[0, 1, 1, 0]],
        "x/test/label": np.array([0, 1, 0, 1]),
        "x/test/concept": np.array(["a", "a", "b", "b"]),
        "x/test/id": np.array(["1", "2", "3", "4"]),
    }
    np.savez(tmp_path / "predictions.npz", **arrays)
    predictions = read_predictions(tmp_path, ["x/test"])
    assert predictions.correct.tolist() == [1, 1, 0, 0]
    assert predictions.identity.tolist() == ["1", "2", "3", "4"]
    assert read_predictions(tmp_path, ["y/test"]) is None
    assert read_predictions(tmp_path / "elsewhere", ["x/test"]) is None
    np.savez(tmp_path / "predictions.npz", **arrays | change)
    with pytest.raises(ValueError, match=r"predictions.npz is broken .*; delete it"):
        read_predictions(tmp_path, ["x/test"])

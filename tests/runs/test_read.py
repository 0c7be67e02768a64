import json

import numpy as np
import pytest

from align_jax.runs.read import read_gallery, read_run


def test_a_cut_off_last_line_is_dropped_and_no_other(make_run):
    run = make_run()
    path = run / "metrics.jsonl"
    whole = read_run(run)
    path.write_bytes(path.read_bytes() + b'{"step": 620, "split": "tr\xc3')
    assert read_run(run).training == whole.training
    path.write_bytes(path.read_bytes() + b'\n{"step": 640, "split": "train"}\n')
    with pytest.raises(ValueError, match=rf"{path} is broken in line \d+ .*delete that line"):
        read_run(run)


def test_a_step_written_twice_counts_once_and_the_later_line_wins(make_run):
    run = make_run()
    again = {"step": 40, "split": "train", "classifier/loss": 123.0}
    with (run / "metrics.jsonl").open("a") as metrics:
        metrics.write(json.dumps(again) + "\n")
    steps = [line["step"] for line in read_run(run).training]
    assert steps == sorted(set(steps))
    assert read_run(run).training[1] == again


@pytest.mark.parametrize("name", ["config.json", "summary.json", "metrics.jsonl", "gallery/final.npz"])
@pytest.mark.parametrize("content", [b"PK\x03\x04 half a file", b"[1, 2]\n[3]\n", b""])
def test_a_broken_file_is_named_in_one_sentence(make_run, name, content):
    run = make_run()
    (run / name).write_bytes(content)
    if name == "metrics.jsonl" and not content.startswith(b"["):
        # No lines, or one that was cut off: a run that was killed before it wrote anything.
        assert read_run(run).training == []
        return
    with pytest.raises(ValueError, match=f"{run / name} is (missing or no|broken)") as raised:
        read_run(run)
    assert "\n" not in str(raised.value)
    assert "again" in str(raised.value)


@pytest.mark.parametrize("name", ["config.json", "summary.json", "metrics.jsonl"])
def test_a_missing_file_is_named(make_run, name):
    run = make_run()
    (run / name).unlink()
    with pytest.raises(ValueError, match=f"{run / name} .*no such file.*again"):
        read_run(run)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"results": 3}, "a list as results"),
        ({"results": [{"domain": "noto"}]}, "names no domain or role"),
        ({"results": [{"domain": "noto", "role": "id", "accuracy": "high"}]}, "accuracy = 'high'"),
        ({"timing": {"wall_s": "long"}}, "wall_s = 'long'"),
        ({"class_names": 5}, "class_names 5"),
    ],
)
def test_a_summary_of_another_shape_is_refused(make_run, change, complaint):
    run = make_run()
    path = run / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=complaint):
        read_run(run)


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
    path = make_run() / "gallery" / "final.npz"
    arrays = dict(np.load(path)) | {key: value}
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=f"{path} is missing or no gallery"):
        read_gallery(path)
    del arrays[key]
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=f"it lacks {key}"):
        read_gallery(path)


def test_maps_that_are_not_finite_become_zero(make_run):
    path = make_run() / "gallery" / "final.npz"
    arrays = dict(np.load(path))
    arrays["grad_cam"][0] = np.nan
    np.savez(path, **arrays)
    assert (read_gallery(path).grad_cam[0] == 0).all()


def test_a_run_without_images_is_read(make_run):
    run = make_run()
    (run / "gallery" / "final.npz").unlink()
    assert read_run(run).gallery is None
    assert read_run(run).gallery_before is None

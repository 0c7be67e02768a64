"""The commands of docs/your_data.md run as printed, with small networks for a few steps, and say what the page says."""

import collections
import importlib
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import tests.tiny_config  # noqa: F401 (its small networks can then be named)
from align_jax.cli import prepare, report, train
from experiments import photo_folder

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "your_data.md").read_text()
FLOWING = " ".join(PAGE.split())
SHRUNK = (
    "--config.classifier.name=resnet_tiny", "--config.classifier.pretrained=", "--config.masker.name=tiny",
    "--config.masker.widths=(4,8)", "--config.data.image_size=32", "--config.schedule.batch_size=6",
    "--config.schedule.length=4", "--config.schedule.warmup=2", "--config.schedule.warmup_unit=steps",
    "--config.evaluation.every=4", "--config.explain.images=4",
    "--config.explain.steps=2", "--config.evaluation.gallery_images=3", "--config.tensorboard=false",
)  # fmt: skip
PROGRAMS = {"launch/prepare.py": prepare.main, "launch/main.py": train.main, "launch/report.py": report.main}


def commands():
    text = "".join(re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL))
    return text.replace("\\\n", "").splitlines()


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    """The folder in which all commands were run, and what each printed, by its program."""
    folder = tmp_path_factory.mktemp("walk")
    (folder / "configs").symlink_to(ROOT / "configs")
    said = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in commands():
            words = shlex.split(command)
            if words[0] != "python":
                said[words[0]] = subprocess.run(
                    ["bash", "-c", command], capture_output=True, text=True, check=True
                ).stdout
            elif words[1] == "-m":
                patch.setattr(sys, "argv", words[2:])
                assert importlib.import_module(words[2]).main() == 0
            else:
                shrunk = SHRUNK if words[1] == "launch/main.py" else ()
                assert PROGRAMS[words[1]]([*words[1:], *shrunk]) == 0
    return folder, said


def summary(folder, method):
    return json.loads((folder / "runs" / "photos" / method / "summary.json").read_text())


def test_the_counts_of_the_page_are_those_of_the_folder(walk):
    folder, said = walk
    images = sorted(path.relative_to(folder / "photos") for path in (folder / "photos").rglob("*.jpg"))
    assert set(re.findall(r"^photos/(\S+\.jpg)$", PAGE, flags=re.MULTILINE)) <= {path.as_posix() for path in images}
    counts = {tuple(line.split()[1:]): int(line.split()[0]) for line in said["awk"].splitlines()}
    assert sum(counts.values()) == len(images)
    clothing = {
        group: count for (domain, name, group), count in counts.items() if (domain, name) == ("noto", "clothing")
    }
    words = ("in the studio", "in the warehouse", "at the bridge", "in the city")
    shown = [f"{clothing[place.split()[-1]]} {place}" for place in words]
    assert f"The {sum(clothing.values())} pictures of clothing from noto are {shown[0]}" in FLOWING
    for part in shown:
        assert part in FLOWING
    assert f"The last {sum(clothing.values()) - clothing['studio']} matter" in FLOWING
    held_out = {group: count for (domain, name, group), count in counts.items() if domain == photo_folder.HELD_OUT}
    # Enough for the worst group.
    assert min(held_out.values()) >= 10
    test = collections.Counter(place for place in counts if place[0] == photo_folder.HELD_OUT)
    assert len(test) == 12
    assert f"each background has {counts['fluent3d', 'clothing', 'city']} of them" in FLOWING


def test_the_report_has_gap_flips_and_the_worst_group_of_both_methods(walk):
    folder, _ = walk
    for method in ("background_swap", "erm"):
        result = summary(folder, method)
        roles = {row["role"]: row for row in result["results"]}
        assert set(roles) == {"ood", "ood_aligned", "ood_neutral", "ood_conflicting"}
        (gap,) = result["background_gaps"]
        assert (gap["domain"], gap["role"]) == ("fluent3d", "ood")
        assert f"with one of the same object on its own: {gap['examples']}." in FLOWING
        for role in ("ood", "ood_conflicting"):
            assert roles[role]["worst_group"]["examples"] >= 10
            assert roles[role]["groups_left_out"] == 0
    page = (folder / "runs" / "photos" / "report" / "index.html").read_text()
    for words in ("Flips", "Worst groups", "By background", "Conflicting"):
        assert words in page
    assert "Accuracy by group" in (folder / "runs" / "photos" / "erm" / "report" / "index.html").read_text()


def test_the_page_says_how_much_is_trained_on(walk):
    folder, _ = walk
    data = json.loads((folder / "runs" / "photos" / "erm" / "data.json").read_text())
    images = sum(data["examples"]["train"].values())
    (steps,) = re.findall(r"--config\.schedule\.length=(\d+)", PAGE)
    assert f"{steps} steps are {round(int(steps) * 48 / images)} passes over {images} pictures" in FLOWING

import json
import os

import pytest

from align_jax.errors import UserError
from align_jax.runs.collect import collect, read_sweep
from align_jax.runs.read import read_run
from align_jax.runs.untrusted_json import MOST_BYTES

SUMMARY = {
    "algorithm": "align",
    "guidance": "learned",
    "dataset": "vlcs",
    "protocol": "leave_one_out",
    "domain": "SUN09",
    "seed": 3,
    "step": 5000,
    "best_step": 4800,
    "selection": "training_domain_validation",
    "validation_accuracy": 0.8,
    "train_domains": ["Caltech101", "LabelMe"],
    "held_out_domains": ["SUN09"],
    "num_classes": 2,
    "class_names": ["bird", "car"],
    "results": [
        {
            "domain": "SUN09",
            "role": "ood",
            "split": "test",
            "examples": 1415,
            "accuracy": 0.75,
            "auc": None,
            "per_class_accuracy": {"bird": 0.5, "car": 1.0},
        }
    ],
    "timing": {"wall_s": 1.0},
}
DATA = {"name": "vlcs", "class_names": ["bird", "car"], "train_domains": ["Caltech101", "LabelMe"]}
CONFIG = {"algorithm": "align", "optim": {"lr": 1e-3, "name": "adam"}, "masker": {"widths": [4, 8]}, "compare": []}


def write(run, content=None, config=CONFIG, **changed):
    run.mkdir(parents=True, exist_ok=True)
    summary = json.dumps(SUMMARY | changed) if content is None else content
    (run / "summary.json").write_text(summary)
    if config is not None:
        (run / "config.json").write_text(json.dumps(config))
    return run


def problems(folder):
    collection = collect([folder])
    assert not collection.runs
    return collection.problems


def test_a_run_is_read_with_its_settings(tmp_path):
    run = read_run(write(tmp_path))
    assert (run.algorithm, run.guidance, run.dataset, run.protocol) == ("align", "learned", "vlcs", "leave_one_out")
    assert (run.domain, run.seed, run.step, run.best_step) == ("SUN09", 3, 5000, 4800)
    assert run.class_names == ("bird", "car")
    assert run.validation_accuracy == 0.8
    (result,) = run.results
    # A metric that does not apply is absent, whether it is left out or null.
    assert result.values == {"accuracy": 0.75}
    assert result.per_class_accuracy == {"bird": 0.5, "car": 1.0}
    assert result.examples == 1415
    assert run.config == {
        "algorithm": "align",
        "compare": "[]",
        "masker.widths": "[4, 8]",
        "optim.lr": "0.001",
        "optim.name": "adam",
    }


def test_a_run_says_with_which_weights_and_data_it_began(tmp_path):
    run = write(tmp_path, pretrained={"source": "hf:a/b", "sha256": "0f" * 32})
    examples = {"train": {"LabelMe": 80}, "test": {"SUN09": 100}}
    (run / "data.json").write_text(json.dumps(DATA | {"examples": examples}))
    read = read_run(run)
    assert (read.weights.source, read.weights.sha256) == ("hf:a/b", "0f" * 32)
    assert read.examples == {("LabelMe", "train"): 80, ("SUN09", "test"): 100}
    for broken in ({"examples": [1]}, {"examples": {"train": {"LabelMe": "80"}}}, {"examples": {"train": 80}}):
        (run / "data.json").write_text(json.dumps(DATA | broken))
        (problem,) = problems(tmp_path)
        assert problem.startswith(f"{run / 'data.json'} has")
    for content in ("{}", "["):
        (run / "data.json").write_text(content)
        (problem,) = problems(tmp_path)
        assert problem.startswith(str(run / "data.json"))


def test_a_problem_is_one_line_whatever_the_folders_are_called(tmp_path):
    (write(tmp_path / "a\n# b\x1b[31m\udcff", "[") / "again").mkdir()
    (tmp_path / "a\n# b\x1b[31m\udcff" / "sweep.json").write_text('{"cells": [{"path": "../.."}]}')
    for problem in problems(tmp_path):
        assert problem.isprintable(), problem
        assert "a # b�[31m�/s" in problem
    with pytest.raises(UserError) as error:
        collect([tmp_path / "no\nfolder"])
    assert str(error.value).isprintable()


def test_runs_are_found_at_any_depth_once_and_never_among_checkpoints(tmp_path):
    write(tmp_path / "a" / "b")
    write(tmp_path / "c", seed=4)
    write(tmp_path / "c" / "checkpoints" / "5")
    write(tmp_path / ".hidden")
    collection = collect([tmp_path, tmp_path / "a", tmp_path / "a" / "b"])
    assert [run.path for run in collection.runs] == [tmp_path / "a" / "b", tmp_path / "c"]
    assert collection.problems == ()


def test_links_that_leave_the_folder_are_not_followed(tmp_path):
    outside, folder = write(tmp_path / "outside"), tmp_path / "folder"
    write(folder / "own")
    (folder / "linked").symlink_to(outside, target_is_directory=True)
    (folder / "file").mkdir()
    (folder / "file" / "summary.json").symlink_to(outside / "summary.json")
    (write(folder / "settings", config=None) / "config.json").symlink_to(outside / "config.json")
    (folder / "loop").mkdir()
    (folder / "loop" / "summary.json").symlink_to("summary.json")
    collection = collect([folder])
    assert [run.path.name for run in collection.runs] == ["own"]
    assert len(collection.problems) == 3
    assert "file/summary.json is a link that leaves" in collection.problems[0]
    assert "loop/summary.json" in collection.problems[1]
    assert "settings/config.json is a link that leaves" in collection.problems[2]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "is not JSON"),
        ('{"algorithm": ', "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[1]", "holds a JSON list, not an object"),
        ('{"loss": 3}', "lacks results"),
        (json.dumps(SUMMARY | {"seed": True}), "seed = True, which is not a whole number"),
        (json.dumps(SUMMARY | {"seed": "0"}), "seed = '0', which is not a whole number"),
        (
            json.dumps(SUMMARY | {"protocol": "mine"}),
            "'mine', which is not one of leave_one_out, single_source, in_domain",
        ),
        (json.dumps(SUMMARY | {"protocol": None}), "lacks protocol"),
        (json.dumps(SUMMARY | {"domain": None}), "lacks domain"),
        (json.dumps(SUMMARY | {"class_names": ["a", "a"]}), "one of them twice"),
        (json.dumps(SUMMARY | {"class_names": [1]}), "wrong type"),
        (json.dumps(SUMMARY | {"results": [{"domain": "a"}]}), "lacks role"),
        (json.dumps(SUMMARY | {"results": SUMMARY["results"] * 2}), "two results of one domain and role"),
        (
            json.dumps(
                SUMMARY | {"results": [SUMMARY["results"][0], SUMMARY["results"][0] | {"split": "test_random"}]}
            ),
            "two results of one domain and role",
        ),
        (
            json.dumps(SUMMARY | {"results": [{"domain": "a", "role": "ood", "accuracy": "0.9"}]}),
            "which is not a number",
        ),
        (json.dumps(SUMMARY | {"pretrained": "a.safetensors"}), "which is not an object"),
        (json.dumps(SUMMARY | {"pretrained": {"source": "a.safetensors"}}), "lacks sha256"),
        (json.dumps(SUMMARY | {"pretrained": {"source": "a", "sha256": "0" * 63 + "G"}}), "is not a checksum"),
        (json.dumps(SUMMARY | {"results": [{"domain": "a", "role": "ood", "accuracy": 87.5}]}), "not a share between"),
        (
            json.dumps(SUMMARY | {"results": [{"domain": "a", "role": "ood", "per_class_accuracy": [1]}]}),
            "per_class_accuracy = a list, which is not an object",
        ),
    ],
)
def test_a_broken_or_foreign_summary_is_named_and_left_out(tmp_path, content, reason):
    write(tmp_path / "run", content)
    (problem,) = problems(tmp_path)
    assert problem.startswith(str(tmp_path / "run" / "summary.json"))
    assert reason in problem
    assert problem.endswith(": left out.")
    assert "\n" not in problem


def test_a_run_without_readable_settings_is_left_out(tmp_path):
    write(tmp_path / "none", config=None)
    (write(tmp_path / "broken") / "config.json").write_text("{")
    assert [problem.split(" ", 1)[0] for problem in problems(tmp_path)] == [
        str(tmp_path / "broken" / "config.json"),
        str(tmp_path / "none" / "config.json"),
    ]


def test_pipes_and_giants_are_not_read(tmp_path):
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / "summary.json")
    giant = write(tmp_path / "giant") / "summary.json"
    os.truncate(giant, MOST_BYTES + 1)
    assert ["is larger than" in problem or "is not a file" in problem for problem in problems(tmp_path)] == [True, True]


def test_values_that_are_not_finite_are_missing(tmp_path):
    content = (
        json.dumps(SUMMARY).replace("0.75", "NaN").replace('"auc": null', '"sufficiency": 1e999, "x": ' + "9" * 400)
    )
    run = read_run(write(tmp_path, content.replace('"bird": 0.5', '"bird": -Infinity')))
    assert run.results[0].values == {}
    assert run.results[0].not_finite == ("accuracy", "sufficiency", "x", "per_class_accuracy/bird")
    said = collect([tmp_path]).problems
    assert len(said) == 4
    assert f"{tmp_path / 'summary.json'} has a value of accuracy on SUN09 (ood) that is not finite" in said[0]


def test_null_is_no_problem_and_a_validation_accuracy_that_is_not_finite_is_one(tmp_path):
    assert collect([write(tmp_path, validation_accuracy=None)]).problems == ()
    (said,) = collect([write(tmp_path, json.dumps(SUMMARY).replace("0.8,", "NaN,"))]).problems
    assert "validation_accuracy" in said


def test_text_has_no_lines_controls_or_lone_surrogates(tmp_path):
    content = json.dumps(SUMMARY | {"domain": "SUN\n\x1b[31m\u202e09", "algorithm": "PLACE"}).replace(
        "PLACE", "\\ud800x"
    )
    run = read_run(write(tmp_path, content))
    assert run.domain == "SUN �[31m�09"
    assert run.algorithm == "�x"
    run.algorithm.encode()


def test_a_deep_config_is_flat(tmp_path):
    run = write(tmp_path)
    (run / "config.json").write_text('{"a":' * 500 + "1" + "}" * 500)
    assert read_run(run).config == {".".join("a" * 500): "1"}
    (run / "config.json").write_text('{"a": {}, "b": ""}')
    assert read_run(run).config == {"a": "{}", "b": '""'}


def test_a_sweep_says_what_was_planned(tmp_path):
    cells = [
        {
            "path": "align/SUN09/seed0",
            "method": "align",
            "domain": "SUN09",
            "seed": 0,
            "overrides": {"optim.lr": "0.1"},
        },
        {"path": "x", "method": "erm", "domain": "SUN09", "seed": 1, "overrides": {"b": "", "a": "1"}},
        {"path": "y", "method": "erm", "domain": "SUN09", "seed": 2},
    ]
    (tmp_path / "sweep.json").write_text(json.dumps({"cells": cells}))
    found, strays = read_sweep(tmp_path)
    assert strays == []
    assert [cell.path.relative_to(tmp_path).as_posix() for cell in found] == ["align/SUN09/seed0", "x", "y"]
    assert [cell.overrides for cell in found] == [(("optim.lr", "0.1"),), (("a", "1"), ("b", '""')), ()]


def test_a_cell_that_leaves_the_folder_or_makes_no_sense_is_named(tmp_path):
    good = {"path": "run", "method": "align", "domain": "SUN09", "seed": 0, "overrides": {}}
    wrong = [
        {"path": "../x"},
        {"path": "/etc"},
        {"path": "a\0b"},
        {"path": 3},
        {"seed": "0"},
        {"overrides": ["--config.b=2"]},
    ]
    cells = [good, *(good | change for change in wrong)]
    (tmp_path / "sweep.json").write_text(json.dumps({"cells": cells}))
    collection = collect([tmp_path])
    assert [cell.path for cell in collection.cells] == [tmp_path / "run"]
    # Two of them leave the folder, and that is said with the path of each.
    assert len(collection.problems) == len(wrong)
    assert sum("leaves its folder" in problem for problem in collection.problems) == 2


def test_a_folder_that_is_none_is_an_error(tmp_path):
    with pytest.raises(UserError, match="is not a folder"):
        collect([tmp_path / "missing"])

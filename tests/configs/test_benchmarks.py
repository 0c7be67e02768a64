"""The shipped configs, shrunk, from the command line's parser to the report, on tiny data of the real layouts."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from align_jax.cli.comparison import run_all
from align_jax.cli.train import parse
from align_jax.configuration import check
from align_jax.errors import UserError

ROOT = Path(__file__).parents[2]
DOMAINS = {
    "vlcs": ("Caltech101", "LabelMe", "SUN09", "VOC2007"),
    "terra_incognita": ("location_38", "location_43", "location_46", "location_100"),
    "pacs": ("art_painting", "cartoon", "photo", "sketch"),
    "office_home": ("Art", "Clipart", "Product", "Real"),
    "domain_net": ("clipart", "infograph", "painting", "quickdraw", "real", "sketch"),
}
FOLDERS = {"vlcs": "VLCS", "terra_incognita": "terra_incognita", "pacs": "PACS"}
CLASSES = {
    "vlcs": ("bird", "car", "chair", "dog", "person"),
    "terra_incognita": ("bird", "bobcat", "cat", "coyote", "dog", "empty", "opossum", "rabbit", "raccoon", "squirrel"),
    "pacs": ("dog", "elephant", "giraffe"),
}
SHRUNK = (
    "--config.classifier.name=resnet_small", "--config.classifier.pretrained=", "--config.data.image_size=32",
    "--config.masker.widths=(4,8)", "--config.schedule.unit=steps", "--config.schedule.length=4",
    "--config.schedule.warmup=2", "--config.schedule.warmup_unit=steps", "--config.schedule.batch_size=6",
    "--config.evaluation.every=2", "--config.evaluation.batch_size=8", "--config.explain.images=4",
    "--config.explain.steps=2", "--config.evaluation.gallery_images=3", "--config.checkpoint_every=2",
    "--config.log_every=2", "--config.tensorboard=false", "--config.data.threads=2",
)  # fmt: skip


def write_images(root, name, each=5):
    """ROOT/FOLDER/DOMAIN/CLASS/*.jpg as the benchmark lays them out, a colour a class."""
    random = np.random.default_rng(0)
    for domain in DOMAINS[name]:
        for number, class_name in enumerate(CLASSES[name]):
            folder = root / FOLDERS[name] / domain / class_name
            folder.mkdir(parents=True)
            for index in range(each):
                pixels = random.integers(0, 120, (30, 40, 3), dtype=np.uint8)
                pixels[8:24, 10:30, number % 3] = 60 + 19 * number
                Image.fromarray(pixels).save(folder / f"{index:03d}.jpg")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("downloads")
    for name in FOLDERS:
        write_images(root, name)
    return root


def config_of(file, data, *overrides):
    config, workdir = parse(
        ["main.py", f"--config={ROOT / 'configs' / file}", "--workdir=unused", f"--config.data.root={data}",
         f"--config.data.prepared={data / 'prepared'}", *SHRUNK, *overrides]
    )  # fmt: skip
    del workdir
    check(config)
    return config


@pytest.mark.parametrize(
    ("protocol", "train", "roles"),
    [
        ("in_domain", ["VOC2007"], {("VOC2007", "id")}),
        ("single_source", ["VOC2007"], {("Caltech101", "ood"), ("LabelMe", "ood"), ("SUN09", "ood")}),
        ("leave_one_out", ["Caltech101", "LabelMe", "SUN09"], {("VOC2007", "ood")}),
    ],
)
def test_vlcs_end_to_end_by_each_protocol(data, tmp_path, protocol, train, roles):
    report = run_all(config_of(f"vlcs.py:{protocol}", data), tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["dataset"], summary["protocol"], summary["domain"]) == ("vlcs", protocol, "VOC2007")
    assert summary["train_domains"] == train
    assert {(row["domain"], row["role"]) for row in summary["results"]} == roles
    assert sum(row["examples"] for row in summary["results"]) == {"in_domain": 5, "single_source": 75}.get(protocol, 25)
    assert summary["class_names"] == list(CLASSES["vlcs"])
    page = report.read_text()
    assert protocol.replace("_", " ") in page
    assert "Balanced accuracy" in page
    assert "Accuracy by class" in page


@pytest.mark.parametrize(
    ("file", "override"), [("terra_incognita.py:leave_one_out", "location_100"), ("pacs.py", "sketch")]
)
def test_other_benchmarks_end_to_end(data, tmp_path, file, override):
    run_all(
        config_of(
            file, data, f"--config.data.domain={override}", "--config.algorithm=erm", "--config.data.stratified=true"
        ),
        tmp_path,
    )
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert [(row["domain"], row["role"]) for row in summary["results"]] == [(override, "ood")]
    assert len(summary["train_domains"]) == 3


@pytest.mark.parametrize("name", DOMAINS)
@pytest.mark.parametrize("protocol", ["in_domain", "single_source", "leave_one_out"])
def test_every_config_is_the_benchmarks(name, protocol):
    config, _ = parse(["main.py", f"--config={ROOT / 'configs' / name}.py:{protocol}", "--workdir=x"])
    check(config)
    assert config.data.domain in DOMAINS[name]
    assert config.data.image_size == 224
    assert config.classifier.freeze_batch_norm
    training = len(DOMAINS[name]) - 1 if protocol == "leave_one_out" else 1
    assert config.schedule.batch_size == 32 * training
    assert (config.optim.name, config.optim.lr, config.optim.weight_decay) == ("adam", 5e-5, 0.0)
    assert config.classifier.name == "resnet50"
    schedule = config.schedule
    expected = (5000, "steps", 2000) if protocol == "leave_one_out" else (300, "epochs", 200)
    assert (schedule.length, schedule.unit, schedule.warmup) == expected
    assert schedule.warmup_unit == schedule.unit
    head = (ROOT / "configs" / f"{name}.py").read_text()
    for part in ("python launch/main.py", "python launch/sweep.py", "Hardware and time", *DOMAINS[name]):
        assert part in head


def test_missing_data_say_what_to_get_and_where_to_put_it(tmp_path):
    with pytest.raises(UserError, match=r"VLCS was not found at .*DomainBed.*put it at"):
        run_all(config_of("vlcs.py", tmp_path), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_unknown_protocol_is_one_sentence():
    with pytest.raises(UserError, match="'both', which is not a protocol; choose one of in_domain") as caught:
        parse(["main.py", f"--config={ROOT / 'configs' / 'vlcs.py'}:both", "--workdir=x"])
    assert "Traceback" not in str(caught.value)

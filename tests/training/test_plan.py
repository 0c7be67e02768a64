"""A plan is a pure function of the config, and refuses all that the config alone can tell."""

import builtins
import os

import pytest

from align_jax.algorithms import ALGORITHMS
from align_jax.configuration import benchmark_config, default_config
from align_jax.errors import UserError
from align_jax.training.plan import Length, check_micro_batches, plan
from tests.tiny_config import get_config


def changed(config, **fields):
    for field, value in fields.items():
        *groups, name = field.split("__")
        group = config
        for part in groups:
            group = group[part]
        group[name] = value
    return config


@pytest.mark.parametrize("name", ALGORITHMS)
def test_it_leaves_the_config_as_it_was_and_touches_no_disk(name, monkeypatch):
    def touched(*_, **__):
        raise AssertionError("the disk was touched")

    config = changed(benchmark_config("leave_one_out", "VOC2007", 3), data__name="vlcs", algorithm=name)
    before = config.to_json()
    monkeypatch.setattr(builtins, "open", touched)
    for function in ("open", "mkdir", "scandir", "listdir"):
        monkeypatch.setattr(os, function, touched)
    planned = plan(config)
    monkeypatch.undo()
    assert config.to_json() == before
    assert planned.guidance == ALGORITHMS[name].guidance
    assert planned.length(10) == Length(5000, 2000 if planned.warms_up else 0)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"optim__lr": -1.0}, r"config\.optim\.lr is -1\.0; it must be between 1e-30 and 1000"),
        ({"schedule__warmup": 9.0}, "9 steps, but the whole run has 8; shorten the warm-up"),
        ({"schedule__classifier_steps": 2}, "classifier_steps is 2, which does not divide the 5 steps after warm-up"),
        ({"algorithm": "irm", "irm__weight": -1.0}, r"config\.irm\.weight is -1\.0"),
        ({"guidance": "folder"}, r"config\.data\.mask_folder is ''"),
        ({"data__name": "emoji_scenes", "data__domain": "noto", "data__correlation": 0.4}, "no correlation 0.4"),
        ({"data__name": "emoji_scenes", "data__domain": "noto", "data__image_size": 40}, "no size 40"),
        ({"data__name": "emoji_scenes", "data__domain": "emoji"}, r"config\.data\.domain is 'emoji'"),
        (
            {"data__name": "emoji_scenes", "data__domain": "noto", "schedule__batch_size": 50},
            r"the 3 training domains \(twemoji, openmoji, fluent3d\) cannot share evenly; give a multiple of 3",
        ),
        ({"data__name": "vlcs", "data__domain": "VOC2007", "schedule__batch_size": 50}, "give a multiple of 3"),
        ({"schedule__accumulate": 0}, r"config\.schedule\.accumulate is 0; it must be between 1 and 1000"),
        (
            {"schedule__accumulate": 4},
            r"accumulate is 4, but 6 images cannot .* to a multiple of 4",
        ),
        (
            {"data__name": "vlcs", "data__domain": "VOC2007", "schedule__batch_size": 48, "schedule__accumulate": 12},
            r"of each training domain \(3\) on each device \(1\); .* to a multiple of 36",
        ),
        ({"data__name": "domain_folders", "data__folder": "../PACS"}, "The data set's folder is '../PACS'"),
        ({"data__name": "domain_folders"}, "The data set's folder is ''"),
    ],
)
def test_what_the_config_alone_can_tell_is_refused(fields, sentence):
    with pytest.raises(UserError, match=sentence) as caught:
        plan(changed(get_config(), **fields))
    assert "\n" not in str(caught.value)


def test_what_only_the_data_can_tell_is_not():
    in_epochs = {"schedule__unit": "epochs", "schedule__warmup_unit": "epochs", "schedule__warmup": 9.0}
    planned = plan(changed(get_config(), **in_epochs))
    with pytest.raises(UserError, match="45 steps, but the whole run has 40"):
        planned.length(steps_per_epoch=5)
    # How many domains a user's folders have is not known yet.
    plan(changed(default_config(), data__name="domain_folders", data__folder="PACS", schedule__batch_size=31))


def test_micro_batches_are_shared_by_the_devices():
    config = changed(default_config(), schedule__batch_size=96, schedule__accumulate=4)
    check_micro_batches(config, domains=3, devices=8)
    with pytest.raises(UserError, match=r"on each device \(16\); .* to a multiple of 192"):
        check_micro_batches(config, domains=3, devices=16)
    # One micro-batch is the batch, whose own rules are elsewhere.
    check_micro_batches(changed(config, schedule__accumulate=1), domains=7, devices=16)

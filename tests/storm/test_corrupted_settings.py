"""500 random changes of settings through the real checks: a run that works, or one sentence."""

import math
import random

import ml_collections
import pytest

from align_jax.configuration import check, settings, with_home
from align_jax.errors import UserError
from align_jax.training import train_and_evaluate
from tests.tiny_config import get_config

pytestmark = pytest.mark.storm
CORRUPTIONS = 500
# What a run at these sizes would show is known from smaller ones.
AFFORDABLE = 64
WORDS = (
    "", "none", "last", "true", "erm", "align", "folder", "~", "../..", "/dev/zero", "/dev/null", "x" * 5000, "é\n\0",
    "\ud800", "None", "1e999", "-", "--", "[1, 2]", "{}", "$(true)", "%s", "gs://bucket/x",
)  # fmt: skip
NUMBERS = (
    0, 1, 2, 3, 7, -1, 2**31, 2**63, 10**20, 10**5000, 0.0, 1e-300, 1e-3, 0.5, 0.999, 1.0, 1.5, 3.0, 1e30, -0.5,
    math.nan, math.inf, -math.inf,
)  # fmt: skip
OTHERS = (None, True, False, (), (1,), ("erm",), ("erm", "dre"), (0.5, "a"), [1], {}, b"x", object())


def choices(field):
    """Words that are valid somewhere, so that a corrupted setting is not always refused."""
    valid = settings()[field].rule.valid()
    return [word.strip(",. ") for word in valid.split() if word.strip(",. ")]


def corrupted(draw):
    """A config of two steps in which one to three settings are random, and these settings."""
    config = get_config()
    config.schedule.length, config.schedule.warmup, config.evaluation.every = 2, 1.0, 2
    changes = {}
    for _ in range(draw.choice((1, 1, 2, 3))):
        field = draw.choice(sorted(settings()))
        value = draw.choice(draw.choice((WORDS, NUMBERS, NUMBERS, OTHERS, choices(field))))
        *groups, name = field.split(".")
        group = config
        for part in groups:
            group = group[part]
        with group.ignore_type():
            group[name] = value
        changes[field] = value
    return config, changes


def is_affordable(config):
    numbers = [
        config.data.image_size, config.schedule.batch_size, config.schedule.length, config.evaluation.batch_size,
        config.data.threads, config.data.prefetch, config.schedule.masker_steps,
        config.schedule.classifier_steps, config.explain.steps, config.explain.images, *config.masker.widths,
        config.evaluation.gallery_images,
    ]  # fmt: skip
    return max(numbers) <= AFFORDABLE and config.schedule.unit == "steps"


def refusal(config, run):
    """The sentence that a config is refused with, or that its run ends with; None where it works."""
    try:
        check(with_home(ml_collections.ConfigDict(config)))
        if is_affordable(config):
            train_and_evaluate(config, run)
    except UserError as error:
        return str(error)
    return None


def test_a_run_that_works_or_one_sentence(tmp_path, capsys):
    draw = random.Random(0)
    refused = trained = unaffordable = 0
    for number in range(CORRUPTIONS):
        config, changes = corrupted(draw)
        try:
            sentence = refusal(config, tmp_path / f"run{number}")
        except Exception as error:
            raise AssertionError(f"{changes} ends in a traceback") from error
        if sentence is not None:
            assert "\n" not in sentence, changes
            assert len(sentence) <= 2000, changes
            refused += 1
        elif is_affordable(config):
            trained += 1
        else:
            unaffordable += 1
    capsys.readouterr()
    print(f"{refused} refused, {trained} trained, {unaffordable} valid, and too large to train here")
    assert trained > 20

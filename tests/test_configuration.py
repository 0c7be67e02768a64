"""Every setting has a rule; its default keeps it, and wrong values are refused in one sentence that names the field."""

import math

import jax
import jax.numpy as jnp
import ml_collections
import pytest

from align_jax.algorithms import ALGORITHMS, Algorithm, erm
from align_jax.configuration import AT_LEAST_1, check, default_config, settings
from align_jax.errors import UserError
from align_jax.models.build import build_masker
from align_jax.models.masker import MASKERS, EncoderDecoder, MaskerEntry
from align_jax.settings import FRACTION, POSITIVE, Setting, keyword_settings, one_of

# Whatever is written there may name a file, or a choice of a data set of the user's own.
FREE_TEXT = ("classifier.pretrained", "data.class_set", "data.folder", "data.mask_folder", "data.prepared", "data.root")
# By the type of the default. No setting takes a negative number.
WRONG = {
    bool: (1, "true", None),
    int: (-1, 1.5, True, "1", None),
    float: (-1.0, math.nan, math.inf, "1", None),
    str: ("nonsense", 3, True, None, ["noto"]),
    tuple: ((3.5,), ("", 0), "ab", 3, None),
}


def changed(field, value):
    """The default config with one field set, whatever its type."""
    config = default_config()
    *groups, name = field.split(".")
    group = config
    for part in groups:
        group = group[part]
    with group.ignore_type():
        group[name] = value
    return config


def refusal(config):
    with pytest.raises(UserError) as caught:
        check(config)
    text = str(caught.value)
    assert "\n" not in text
    return text


def leaves(config, prefix=""):
    for name, value in config.items():
        if isinstance(value, ml_collections.ConfigDict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def test_every_field_has_a_rule_which_its_default_keeps():
    assert set(leaves(default_config())) == set(settings())
    for field, setting in settings().items():
        assert setting.rule.broken_by(setting.default) is None, field
    check(default_config())


@pytest.mark.parametrize("field", settings())
def test_wrong_values_are_refused_in_one_sentence_that_names_the_field(field):
    wrong = WRONG[type(settings()[field].default)]
    for value in wrong[1:] if field in FREE_TEXT else wrong:
        text = refusal(changed(field, value))
        assert text.startswith(f"config.{field} is {value!r}; it must be "), text


@pytest.mark.parametrize(
    ("field", "value", "valid"),
    [
        ("algorithm", "nonsense", f"one of {', '.join(ALGORITHMS)}"),
        ("guidance", "masks", "one of method, learned, true, folder, grey, none"),
        ("sgt.replacement", "black", "one of noise, mean"),
        ("sgt.fraction", 1.5, "between 0 and 1"),
        ("mixup.concentration", 0.0, "between 1e-30 and 1e+09"),
        ("group_dro.step_size", -0.1, "between 0 and 10"),
        ("irm.switch_step", -1, "between 0 and 1000000000"),
        ("vrex.weight", math.nan, "between 0 and 1e+09"),
        ("data.augmentation.smallest_crop", 0.0, "above 0 and at most 1"),
        ("data.image_size", 4096, "between 1 and 2048"),
        ("data.image_size", 50, "a multiple of 8 (the masker)"),
        ("data.domain", "emoji", "one of noto, twemoji, openmoji, fluent3d"),
        ("data.stratified", "yes", "True or False"),
        ("data.root", 3, "text"),
        ("data.threads", 2.0, "a whole number"),
        ("optim.lr", "1", "a number"),
        ("optim.lr", 1001.0, "between 1e-30 and 1000"),
        ("masker_optim.lr", 1e9, "between 1e-30 and 1000"),
        ("schedule.length", 0, "between 1 and 1000000000"),
        ("evaluation.batch_size", 2**31, "between 1 and 65536"),
        ("align.mixing_concentration", 1e30, "between 1e-30 and 1e+09"),
        ("data.split_seed", 10**20, "between 0 and 4294967295"),
        ("seed", 2**32, "between 0 and 4294967295"),
        ("masker.widths", (), "1 to 16 whole numbers between 1 and 1024, such as (16, 32, 64)"),
        ("masker.widths", (16, -1), "1 to 16 whole numbers between 1 and 1024, such as (16, 32, 64)"),
        ("masker.widths", (100000,), "1 to 16 whole numbers between 1 and 1024, such as (16, 32, 64)"),
    ],
)
def test_what_is_valid_instead(field, value, valid):
    assert refusal(changed(field, value)) == f"config.{field} is {value!r}; it must be {valid}."


# By the type of the default: what no computer could carry out, or print in a sentence.
BEYOND = {
    int: (10**20, -(10**20), 10**5000),
    float: (10**20, 1e300, -1e300, -math.inf),
    tuple: ((1,) * 10**5, ("erm",) * 10**5, (10**5000,), ("x" * 10**6,)),
}


def test_every_number_and_every_tuple_has_an_upper_limit():
    for field, setting in settings().items():
        for value in BEYOND.get(type(setting.default), ()):
            assert len(refusal(changed(field, value))) < 1000, field


@pytest.mark.parametrize("image_size", [32, 64, 96, 128, 224, 256, 384, 512, 768, 1024])
def test_the_limits_leave_room_for_large_experiments(image_size):
    """ImageNet in small batches over a hundred thousand epochs' worth of steps, and ResNets at 1024 pixels."""
    config = changed("data.image_size", image_size)
    config.schedule.length, config.schedule.batch_size, config.evaluation.batch_size = 100_000_000, 512, 512
    config.data.threads, config.data.prefetch, config.masker.widths = 256, 16, (64, 128, 256, 512, 1024)
    config.irm.weight, config.explain.steps, config.explain.images = 1e5, 224, 50_000
    check(config)


def test_a_batch_has_a_largest_number_of_pixels():
    config = changed("data.image_size", 2048)
    config.evaluation.batch_size = 256
    assert refusal(config) == "config.evaluation.batch_size is 256; it must be at most 128 at 2048 x 2048 pixels."
    config.evaluation.batch_size = 128
    check(config)


def test_the_batches_ahead_have_a_largest_number_of_pixels():
    config = changed("data.image_size", 224)
    config.schedule.batch_size = 4096
    check(config)
    config.data.prefetch = 256
    assert refusal(config) == (
        "config.data.prefetch is 256; it must be at most 83, in batches of 4096 images of 224 x 224 pixels."
    )
    config.data.prefetch = 83
    check(config)


@pytest.mark.parametrize("field", FREE_TEXT)
def test_a_text_has_an_end_and_no_nul(field):
    for value in ("x" * 4097, "x\0"):
        assert len(refusal(changed(field, value))) < 1000


def test_whole_numbers_may_stand_for_others():
    check(changed("optim.weight_decay", 0))


def test_rules_between_settings():
    config = changed("classifier.pretrained", "emoji")
    assert (
        "config.classifier.name is 'resnet50'; it must be resnet_small, because config.classifier.pretrained is 'emoji'"
        in refusal(config)
    )
    config.classifier.name = "resnet_small"
    check(config)

    config = changed("schedule.warmup_unit", "fraction")
    assert "config.schedule.warmup is 2000.0; it must be between 0 and 1, as a fraction of the len" in refusal(config)

    config = changed("compare", ("irm", "group_dor"))
    assert refusal(config) == f"config.compare names 'group_dor'; valid methods are {', '.join(ALGORITHMS)}."


def test_guidance_by_a_folder_needs_one():
    config = changed("guidance", "folder")
    config.algorithm = "haics"
    assert "config.data.mask_folder is ''; it must be the folder of the masks" in refusal(config)
    config.data.mask_folder = "masks"
    check(config)
    config.data.mask_folder, config.algorithm = "", "erm"
    check(config)  # takes no masks
    config.compare = ("gradia",)
    assert "config.data.mask_folder is ''" in refusal(config)


def test_entries_and_groups_of_the_users_own_are_valid(monkeypatch):
    config = changed("algorithm", "mine")
    config.mine = ml_collections.ConfigDict({"weight": -1.0})
    assert "config.algorithm is 'mine'" in refusal(config)
    monkeypatch.setitem(ALGORITHMS, "mine", ALGORITHMS["erm"])
    check(config)
    config.algorithm = "theirs"
    assert refusal(config).endswith("background_swap, mine.")


def test_a_method_brings_its_settings(monkeypatch):
    before = default_config()
    mine = Algorithm(lambda config: erm.classifier_objective(), settings={"kind.size": Setting(2.0, POSITIVE)})
    monkeypatch.setitem(ALGORITHMS, "mine", mine)
    config = default_config()
    assert config.mine.to_dict() == {"kind": {"size": 2.0}}
    check(config)
    config.mine.kind.size = 0
    assert refusal(config) == "config.mine.kind.size is 0.0; it must be between 1e-30 and 1e+09."
    assert refusal(before).startswith("config.mine.kind.size is missing; begin with default_config(), after you have")


def test_a_masker_brings_its_settings_and_its_condition_on_images(monkeypatch):
    def module(config, dtype):
        return EncoderDecoder((config.mine.channels,), dtype)

    def side_multiple(config):
        return 5 * config.mine.channels

    mine = MaskerEntry(module, side_multiple, {"channels": Setting(1, AT_LEAST_1)})
    monkeypatch.delitem(MASKERS, "tiny", raising=False)  # another test file's
    config = changed("masker.name", "mine")
    assert refusal(config) == (
        "config.masker.name is 'mine'; it must be one of encoder_decoder, or one of your own, for which you first "
        "import the file that adds it to MASKERS."
    )
    monkeypatch.setitem(MASKERS, "mine", mine)
    config = default_config()
    check(config)
    config.masker.name = "mine"
    assert refusal(config) == "config.data.image_size is 64; it must be a multiple of 5 (the masker)."
    config.data.image_size, config.masker.widths = 10, (4,) * 9  # widths are the library's masker's
    check(config)
    config.masker.mine.channels = 0
    assert refusal(config) == "config.masker.mine.channels is 0; it must be between 1 and 1000000000."
    config.masker.mine.channels = 2
    params, _ = build_masker(config).init(jax.random.key(0), jnp.zeros((1, 10, 10, 3)))
    assert params["encoder_0"]["kernel"].shape == (3, 3, 3, 2)


def test_settings_of_a_functions_keywords():
    def objective(*, weight: float = 1.0, kind: str = "a") -> None: ...

    found = keyword_settings(objective, "group.", kind=one_of(("a", "b")), weight=FRACTION)
    assert {name: setting.default for name, setting in found.items()} == {"group.weight": 1.0, "group.kind": "a"}
    assert found["group.kind"].rule.broken_by("c") == "one of a, b"
    for rules in ({"weight": FRACTION}, {"weight": FRACTION, "kind": POSITIVE, "more": POSITIVE}):
        with pytest.raises(ValueError, match="the keywords are weight, kind"):
            keyword_settings(objective, **rules)


def test_every_method_has_a_title_and_a_citation():
    assert all(algorithm.title and algorithm.citation for algorithm in ALGORITHMS.values())
    titles = [algorithm.title for algorithm in ALGORITHMS.values()]
    assert len(set(titles)) == len(titles)


def test_the_defaults_are_typed():
    config = default_config()
    with pytest.raises(TypeError):
        config.data.stratified = "yes"
    config.masker.widths = [4, 8]
    assert config.masker.widths == (4, 8)

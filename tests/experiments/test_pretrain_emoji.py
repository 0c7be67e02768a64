"""The backbone pretrained on emoji: the emoji that are used and left out, the training, and the shipped file."""

import hashlib
import io
import json
import tarfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from align_jax.configuration import check, default_config
from align_jax.data.augment import Augmentation
from align_jax.errors import UserError
from align_jax.models import pretrained
from align_jax.models.resnet import resnet
from experiments.pretrain_emoji import command_line
from experiments.pretrain_emoji.backgrounds import background
from experiments.pretrain_emoji.emoji import (
    LEFT_OUT_CODEPOINTS,
    Entry,
    benchmark_codepoints,
    learnable,
    load_emoji,
    plain_codepoint,
)
from experiments.pretrain_emoji.pretraining import pretrain
from experiments.pretrain_emoji.scenes import compose_scenes, hold_out, training_batches

ATTRIBUTION = pretrained.EMOJI_BACKBONE.with_name("ATTRIBUTION.md")
SUBGROUPS = ("face-smiling", "book-paper")
IMAGES = "package/img/google/64/"
# Tiger face, red apple and firefighter: in the benchmark's classes, or containing one of their emoji.
TIGER, APPLE, FIREFIGHTER = "1F42F", "1F34E", "1F468-200D-1F692"


def drawing(number):
    """A disc of a colour of its own."""
    y, x = np.mgrid[:64, :64] - 31.5
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[np.hypot(x, y) < 10 + number % 16] = (*np.random.default_rng(number).integers(256, size=3), 255)
    file = io.BytesIO()
    Image.fromarray(rgba).save(file, "PNG")
    return file.getvalue()


def row(codepoint, subgroup, category="Objects", **changes):
    fields = {"unified": codepoint, "category": category, "subcategory": subgroup, "image": f"{codepoint.lower()}.png"}
    return fields | {"has_img_google": True, "has_img_twitter": True} | changes


def rows():
    """Two subgroups of five emoji, and emoji that must be left out."""
    learnt = [row(f"1F9{number:02d}-FE0F", SUBGROUPS[number % 2]) for number in range(10)]
    return [
        *learnt,
        row(TIGER, "animal-mammal"),
        row("1F99E1", "animal-mammal"),
        row(APPLE, "food-fruit"),
        row(FIREFIGHTER, SUBGROUPS[0]),
        row("1F1E6", SUBGROUPS[0], category="Flags"),
        row("1F600", SUBGROUPS[0], has_img_google=False, has_img_twitter=False),
        *(row(f"1F8{number:02d}", "of-three") for number in range(3)),
    ]


def archive(path, vendor="google", emoji=None, members=None, name=None):
    """A tarball as npm makes it; `members` replaces or adds files, or removes those that are None."""
    emoji = rows() if emoji is None else emoji
    files = {
        "package/package.json": json.dumps({"name": name or f"emoji-datasource-{vendor}"}).encode(),
        "package/emoji.json": json.dumps(emoji).encode(),
    }
    for number, entry in enumerate(emoji):
        if entry.get(f"has_img_{vendor}") is True:
            files[f"package/img/{vendor}/64/{entry['image']}"] = drawing(number)
    files |= members or {}
    with tarfile.open(path, "w:gz") as tar:
        for member, content in files.items():
            if content is not None:
                info = tarfile.TarInfo(member)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    folder = tmp_path_factory.mktemp("npm")
    return [archive(folder / f"{vendor}.tgz", vendor) for vendor in ("google", "twitter")]


@pytest.fixture(scope="module")
def emoji(archives):
    return load_emoji(archives)


class TestWhatIsLearntFrom:
    def test_both_vendors_draw_what_remains(self, emoji):
        expected = sorted((f"1f9{number:02d}", vendor) for number in range(10) for vendor in ("google", "twitter"))
        assert [(one.codepoint, one.vendor) for one in emoji] == expected
        assert {one.subgroup for one in emoji} == set(SUBGROUPS)
        assert all(one.pixels[..., 3].any(axis).all() for one in emoji for axis in (0, 1))  # no border is left

    def test_nothing_of_the_benchmark(self):
        """Every one of its emoji, in every class, as such, within a sequence, and with its whole subgroup."""
        benchmark = benchmark_codepoints()
        assert len(benchmark) == 383
        asked = [Entry(codepoint, "Objects", "same", "a.png") for codepoint in sorted(benchmark)]
        sequences = [one._replace(codepoint=f"1f468-200d-{one.codepoint}", subgroup="other") for one in asked]
        sequences = [one for one in sequences if one.codepoint.count("-") == 2]
        beside = [Entry("1fffe", "Objects", "same", "a.png")]
        free = [Entry("1ffff", "Objects", "third", "a.png")]
        assert len(sequences) > 300
        assert learnable([*asked, *sequences, *beside, *free], benchmark) == free

    @pytest.mark.parametrize("codepoint", sorted(LEFT_OUT_CODEPOINTS))
    def test_what_shows_a_class_in_another_subgroup(self, codepoint):
        entries = [Entry(codepoint, "a", "b", "c.png"), Entry(f"{codepoint}-200d-2642", "a", "b", "c.png")]
        assert not learnable(entries, frozenset())

    def test_the_variation_selector_does_not_hide_an_emoji(self):
        assert plain_codepoint("2708-FE0F") == "2708"
        assert "2708" in benchmark_codepoints()  # the airplane

    def test_held_out_concepts_are_held_out_for_every_vendor(self, emoji):
        train, validation = hold_out(emoji)
        of_train, of_validation = ({one.codepoint for one in part} for part in (train, validation))
        assert of_train.isdisjoint(of_validation)
        assert {one.subgroup for one in validation} == set(SUBGROUPS)
        assert len(train) + len(validation) == len(emoji)
        assert {one.codepoint for one in hold_out(reversed(emoji))[1]} == of_validation


class TestUntrustedArchives:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"members": {"../outside.png": b""}}, "could lead out of the folder"),
            ({"members": {"package/package.json": None}}, "has no package/package.json"),
            ({"members": {"package/emoji.json": b"[" * 100_000}}, "emoji.json that cannot be read"),
            ({"members": {"package/emoji.json": b"{}"}}, "not a list of emoji"),
            ({"members": {f"{IMAGES}1f900-fe0f.png": drawing(0)[:100]}}, "cannot be read: truncated"),
            ({"members": {f"{IMAGES}1f900-fe0f.png": None}}, "but does not have it"),
            ({"name": "emoji-datasource-apple"}, "'emoji-datasource-apple'; give those of emoji-datasource-google and"),
            (
                {"emoji": [row("1F900", "a", image="../1.png")], "members": {f"{IMAGES}../1.png": None}},
                "not a valid file name",
            ),
            ({"emoji": [row("1F900", None)]}, "without code point, category or image"),
        ],
    )
    def test_is_refused_with_a_sentence(self, tmp_path, changes, message):
        with pytest.raises(UserError, match=message) as error:
            load_emoji([archive(tmp_path / "google.tgz", **changes)])
        assert "\n" not in str(error.value)

    def test_an_image_of_another_size(self, tmp_path):
        file = io.BytesIO()
        Image.new("RGBA", (65, 64), "red").save(file, "PNG")
        members = {f"{IMAGES}1f900-fe0f.png": file.getvalue()}
        with pytest.raises(UserError, match="not 64 x 64"):
            load_emoji([archive(tmp_path / "google.tgz", members=members)])

    def test_the_same_package_twice(self, archives):
        with pytest.raises(UserError, match="give each package once"):
            load_emoji([archives[0], archives[0]])


class TestScenes:
    def test_are_a_function_of_the_seed(self, emoji):
        def scenes(seed):
            return compose_scenes(emoji, SUBGROUPS, 2, 32, np.random.default_rng(seed))

        first, again, other = scenes(0), scenes(0), scenes(1)
        np.testing.assert_array_equal(first.image, again.image)
        assert (first.image != other.image).any((1, 2, 3)).all()
        assert first.label.tolist() == [SUBGROUPS.index(one.subgroup) for one in emoji for _ in range(2)]

    def test_backgrounds_differ_and_have_contrast(self):
        pictures = np.stack([background(np.random.default_rng(seed), 32) for seed in range(40)]).astype(float)
        assert len({picture.tobytes() for picture in pictures}) == 40
        # Every colour occurs everywhere, and most pictures have much contrast.
        assert np.ptp(pictures.mean((1, 2, 3))) > 100
        assert np.median(pictures.std((1, 2)).mean(-1)) > 10

    def test_a_pass_takes_every_scene_once(self, emoji):
        scenes = compose_scenes(emoji, SUBGROUPS, 1, 16, np.random.default_rng(0))
        scenes = scenes._replace(label=np.arange(20, dtype=np.int32))
        batches = training_batches(scenes, 4, np.random.default_rng(0), Augmentation())
        labels = np.concatenate([next(batches).label for _ in range(10)]).reshape(2, 20)
        assert (np.sort(labels) == np.arange(20)).all()
        assert (labels[0] != labels[1]).any()


class TestPretraining:
    def test_the_command_writes_what_the_function_gives_without_a_head(self, archives, emoji, tmp_path, capsys):
        flags = [f"--archives={','.join(map(str, archives))}", f"--to={tmp_path}/new/a.safetensors"]
        assert command_line.main(["", *flags, "--steps=2", "--seed=3"]) == 0
        output = capsys.readouterr()
        path = tmp_path / "new" / "a.safetensors"
        assert hashlib.sha256(path.read_bytes()).hexdigest() in output.out
        assert "10 emoji of 2 subgroups" in output.out
        assert "step 2/2  accuracy on held-out emoji" in output.err

        result = pretrain(emoji, steps=2, seed=3)
        again = pretrained.save_weights(tmp_path / "b.safetensors", result.params, result.batch_stats)
        assert again.read_bytes() == path.read_bytes()
        assert not any(name.startswith("fc.") for name in load_file(path))
        assert f"accuracy on held-out emoji {result.accuracy:.3f}" in output.out

    def test_too_few_to_fill_a_batch(self, emoji):
        with pytest.raises(UserError, match="too few to fill a batch"):
            pretrain(emoji[:4], steps=1, seed=0, scenes=1)

    def test_ctrl_c_is_one_sentence_and_leaves_no_file(self, archives, tmp_path, monkeypatch, capsys):
        def interrupt(*arguments, **options):
            raise KeyboardInterrupt

        monkeypatch.setattr("experiments.pretrain_emoji.pretraining.compose_scenes", interrupt)
        flags = [f"--archives={archives[0]}", f"--to={tmp_path / 'a.safetensors'}"]
        assert command_line.main(["", *flags]) == 130
        assert capsys.readouterr().err.splitlines()[-1] == "Interrupted; nothing was written."
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("flags", "message"),
        [
            ([], "--archives is missing"),
            (["--archives=a.tgz"], "--to is None; give a file that ends in .safetensors"),
            (["--archives=a.tgz", "--to=a.pth"], "--to is 'a.pth'"),
            (["--archives=a.tgz", "--to=a.safetensors", "--steps=0"], "--steps is 0; it must be at least 1"),
            (["--archives=a.tgz", "--to=a.safetensors", f"--seed={2**32}"], "must be below"),
            (["--archives=a.tgz", "--to=a.safetensors", "b.tgz"], "'b.tgz' is not a flag"),
            (["--archives=none.tgz", "--to=a.safetensors"], "none.tgz is not a file"),
        ],
    )
    def test_a_mistake_is_a_sentence(self, flags, message, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        assert command_line.main(["", *flags]) == 2
        assert message in capsys.readouterr().err


def initial(name):
    """(params, batch_stats) of shapes alone, filled with ones."""
    image = jnp.zeros((1, 64, 64, 3))
    shapes = jax.eval_shape(lambda: resnet(name, 5).init(jax.random.key(0), image, train=False))
    variables = jax.tree.map(lambda leaf: jnp.ones(leaf.shape, leaf.dtype), shapes)
    return variables["params"], variables["batch_stats"]


class TestTheFileThatIsShipped:
    def test_is_small_and_has_the_whole_backbone_and_no_head(self, tmp_path):
        params, batch_stats = initial("resnet_small")
        del params["fc"]
        expected = load_file(pretrained.save_weights(tmp_path / "same.safetensors", params, batch_stats))
        shipped = load_file(pretrained.EMOJI_BACKBONE)
        assert {name: (leaf.shape, leaf.dtype) for name, leaf in shipped.items()} == {
            name: (leaf.shape, leaf.dtype) for name, leaf in expected.items()
        }
        assert pretrained.EMOJI_BACKBONE.stat().st_size < 3e6

    def test_is_where_a_small_network_begins(self):
        params, batch_stats = initial("resnet_small")
        loaded = pretrained.load_weights(pretrained.locate("emoji"), params, batch_stats)
        assert set(loaded.replaced) == {"fc.weight", "fc.bias"}
        assert not loaded.ignored
        assert (loaded.params["fc"]["kernel"] == 1).all()
        assert not (loaded.params["conv1"]["kernel"] == 1).any()
        assert (loaded.batch_stats["bn1"]["var"] > 0).all()

    def test_is_the_one_that_its_attribution_describes(self):
        text = ATTRIBUTION.read_text(encoding="utf-8")
        assert hashlib.sha256(pretrained.EMOJI_BACKBONE.read_bytes()).hexdigest() in text
        for words in (
            "Apache",
            "CC BY 4.0",
            "MIT",
            "emoji-datasource-google 16.0.0",
            "emoji-datasource-twitter 16.0.0",
        ):
            assert words in text

    def test_is_refused_for_another_network(self):
        config = default_config()
        config.classifier.pretrained = "emoji"
        with pytest.raises(
            UserError, match=r"classifier\.name is 'resnet50'; it must be resnet_small, .*random weights"
        ):
            check(config)
        config.classifier.name = "resnet_small"
        check(config)
        # Past that check, reading the file reports it.
        with pytest.raises(UserError, match="resnet_small"):
            pretrained.load_weights(pretrained.locate("emoji"), *initial("resnet18"))

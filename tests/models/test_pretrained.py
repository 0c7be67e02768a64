"""torchvision's checkpoints, read and written: names, shapes, values, and refused files."""

import functools
import hashlib
import json
import os
import pickle
import re
import shlex
import struct

import huggingface_hub
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import safetensors
from safetensors.numpy import load_file, save_file

from align_jax.errors import UserError
from align_jax.models import pretrained
from align_jax.models.resnet import resnet
from tests.oracle.torchvision_weights import linen_variables, shapes, state_dict

CLASSES = 5


@functools.cache
def initial(name, num_classes=CLASSES, seed=0):
    """(params, batch_stats) of the network's shapes with distinct values, made without a long compilation."""
    model = resnet(name, num_classes)
    image = jnp.zeros((1, 64, 64, 3))
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), image, train=False))
    rng = np.random.default_rng(seed)
    variables = jax.tree.map(lambda leaf: jnp.asarray(rng.uniform(0.5, 1.5, leaf.shape), leaf.dtype), variables)
    return variables["params"], variables["batch_stats"]


@functools.cache
def weights(depth, num_classes=CLASSES):
    return state_dict(depth, num_classes, seed=0)


def small_tensors(tmp_path, seed=1):
    """The tensors of a file of `resnet_small`, by torchvision's names."""
    return load_file(pretrained.save_weights(tmp_path / "small.safetensors", *initial("resnet_small", seed=seed)))


def write(tmp_path, tensors):
    path = tmp_path / "weights.safetensors"
    save_file(tensors, path)
    return path


def assert_same(actual, expected):
    """Bit for bit, in the same places and the same types."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for ours, theirs in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def sentence(error):
    """The message of a user's mistake, which is one line."""
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("depth", [18, 34, 50])
class TestTorchvision:
    def test_values_are_where_the_oracle_puts_them(self, depth, tmp_path):
        """With these values the logits are PyTorch's: test_resnet.py."""
        path = write(tmp_path, weights(depth))
        loaded = pretrained.load_weights(path, *initial(f"resnet{depth}"))
        expected = linen_variables(weights(depth))
        assert_same((loaded.params, loaded.batch_stats), (expected["params"], expected["batch_stats"]))
        assert loaded.replaced == {}
        assert loaded.ignored == ()
        assert loaded.taken == sum("num_batches" not in name for name in weights(depth))
        assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()

    def test_save_writes_torchvisions_file(self, depth, tmp_path):
        variables = linen_variables(weights(depth))
        path = pretrained.save_weights(
            tmp_path / "new" / "ours.safetensors", variables["params"], variables["batch_stats"]
        )
        tensors = load_file(path)
        assert {name: array.shape for name, array in tensors.items()} == shapes(depth, CLASSES)
        for name, array in tensors.items():
            counter = name.endswith("num_batches_tracked")
            assert array.dtype == (np.int64 if counter else np.float32)
            np.testing.assert_array_equal(array, 0 if counter else weights(depth)[name], err_msg=name)


def test_small_network_round_trip(tmp_path):
    saved = initial("resnet_small", seed=1)
    loaded = pretrained.load_weights(
        pretrained.save_weights(tmp_path / "w.safetensors", *saved), *initial("resnet_small")
    )
    assert_same((loaded.params, loaded.batch_stats), saved)
    assert loaded.replaced == {}
    assert [file.name for file in tmp_path.iterdir()] == ["w.safetensors"]  # nothing temporary stays
    with safetensors.safe_open(loaded.path, "numpy") as file:
        assert file.metadata() == {"format": "pt"}
        assert "layer2.0.downsample.1.running_var" in file.keys()  # noqa: SIM118


def test_save_wants_a_name_that_says_what_it_is(tmp_path):
    with pytest.raises(UserError, match=r"end in \.safetensors") as error:
        pretrained.save_weights(tmp_path / "weights.pth", *initial("resnet_small"))
    sentence(error)


def test_another_number_of_classes_keeps_the_fresh_head(tmp_path):
    fresh_params, fresh_stats = initial("resnet18", num_classes=7)
    loaded = pretrained.load_weights(write(tmp_path, weights(18)), fresh_params, fresh_stats)
    assert_same(loaded.params["fc"], fresh_params["fc"])
    expected = linen_variables(weights(18))
    assert_same({**loaded.params, "fc": {}}, {**expected["params"], "fc": {}})
    assert_same(loaded.batch_stats, expected["batch_stats"])
    why = "5 classes in the file, 7 in the network"
    assert loaded.replaced == {"fc.weight": why, "fc.bias": why}
    assert loaded.taken == 100  # 20 convolutions and four vectors of each of 20 BatchNorms
    assert why in loaded.summary()
    assert loaded.sha256 in loaded.summary()
    assert "\n" not in loaded.summary()


def test_a_file_without_head_keeps_the_fresh_one(tmp_path):
    tensors = {name: array for name, array in small_tensors(tmp_path).items() if not name.startswith("fc.")}
    fresh_params, fresh_stats = initial("resnet_small")
    loaded = pretrained.load_weights(write(tmp_path, tensors), fresh_params, fresh_stats)
    assert_same(loaded.params["fc"], fresh_params["fc"])
    assert loaded.replaced == dict.fromkeys(("fc.weight", "fc.bias"), "not in the file")


def test_half_a_head_is_an_error(tmp_path):
    tensors = small_tensors(tmp_path)
    del tensors["fc.bias"]
    with pytest.raises(UserError, match=r"not in the file: fc\.bias"):
        pretrained.load_weights(write(tmp_path, tensors), *initial("resnet_small"))


@pytest.mark.parametrize("prefix", ["module.", "model.", "module.model.", "_orig_mod."])
def test_a_wrappers_prefix_and_absent_counters(prefix, tmp_path):
    tensors = small_tensors(tmp_path)
    wrapped = {prefix + name: array for name, array in tensors.items() if "num_batches" not in name}
    loaded = pretrained.load_weights(write(tmp_path, wrapped), *initial("resnet_small"))
    assert_same((loaded.params, loaded.batch_stats), initial("resnet_small", seed=1))
    assert loaded.ignored == ()


def test_a_tensor_under_two_names_is_an_error(tmp_path):
    tensors = small_tensors(tmp_path)
    tensors["model.conv1.weight"] = tensors["conv1.weight"] + 1
    with pytest.raises(UserError, match=r"twice, as 'conv1.weight' and 'model.conv1.weight'"):
        pretrained.load_weights(write(tmp_path, tensors), *initial("resnet_small"))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_other_precisions_are_cast_to_the_networks(dtype, tmp_path):
    tensors = {
        name: array if "num_batches" in name else array.astype(dtype) for name, array in small_tensors(tmp_path).items()
    }
    loaded = pretrained.load_weights(write(tmp_path, tensors), *initial("resnet_small"))
    cast = jax.tree.map(
        lambda leaf: jnp.asarray(np.asarray(leaf).astype(dtype), jnp.float32), initial("resnet_small", seed=1)
    )
    assert_same((loaded.params, loaded.batch_stats), cast)


def test_the_networks_own_precision_is_kept(tmp_path):
    path = write(tmp_path, small_tensors(tmp_path))
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), initial("resnet_small"))
    loaded = pretrained.load_weights(path, *half)
    assert all(leaf.dtype == jnp.bfloat16 for leaf in jax.tree.leaves((loaded.params, loaded.batch_stats)))


def test_what_the_network_has_no_place_for_is_listed(tmp_path):
    tensors = small_tensors(tmp_path) | {"projector.0.weight": np.ones(3, np.float32), "epoch\n": np.ones(1, np.int32)}
    loaded = pretrained.load_weights(write(tmp_path, tensors), *initial("resnet_small"))
    assert loaded.ignored == ("epoch\n", "projector.0.weight")
    assert r"'epoch\n', 'projector.0.weight'" in loaded.summary()


PREFIXES = (
    *(
        "network.0.network.",
        "backbone.",
        "encoder_q.",
        "module.encoder_q.",
        "encoder.module.",
        "student.module.backbone.",
    ),
    *("state_dict.backbone.", "_orig_mod.trunk._orig_mod.", "layer1.0."),
)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_prefix_of_all_names_is_left_out_and_said(prefix, tmp_path):
    tensors = small_tensors(tmp_path)
    named = {prefix + name: array for name, array in tensors.items() if not name.startswith("fc.")}
    named |= {"classifier.weight": np.ones(3, np.float32), "fc.bias": np.ones(CLASSES, np.float32)}
    loaded = pretrained.load_weights(write(tmp_path, named), *initial("resnet_small"))
    params, stats = initial("resnet_small", seed=1)
    assert_same((loaded.params, loaded.batch_stats), (params | {"fc": initial("resnet_small")[0]["fc"]}, stats))
    assert prefix.endswith(loaded.prefix)
    assert f"without {loaded.prefix!r}" in loaded.summary()
    assert loaded.ignored == ("classifier.weight", "fc.bias"), "they stand beside the network"


def test_a_head_beside_the_prefix_is_the_networks_if_it_fits(tmp_path):
    tensors = small_tensors(tmp_path)
    named = {name if name.startswith("fc.") else f"backbone.{name}": array for name, array in tensors.items()}
    loaded = pretrained.load_weights(write(tmp_path, named), *initial("resnet_small"))
    assert_same((loaded.params, loaded.batch_stats), initial("resnet_small", seed=1))
    assert (loaded.replaced, loaded.ignored) == ({}, ())
    narrow = named | {"fc.weight": np.ones((CLASSES, 2), np.float32)}
    loaded = pretrained.load_weights(write(tmp_path, narrow), *initial("resnet_small"))
    assert loaded.ignored == ("fc.bias", "fc.weight")
    more = named | {"fc.weight": np.ones((99, named["fc.weight"].shape[1]), np.float32), "fc.bias": np.ones(99, "f4")}
    loaded = pretrained.load_weights(write(tmp_path, more), *initial("resnet_small"))
    assert loaded.replaced["fc.bias"] == f"99 classes in the file, {CLASSES} in the network"


def two_networks(tmp_path, first, second, change):
    tensors = small_tensors(tmp_path)
    both = {first + name: array for name, array in tensors.items()}
    return write(tmp_path, both | {second + name: np.asarray(array + change) for name, array in tensors.items()})


def test_of_mocos_two_networks_the_trained_one_is_read(tmp_path):
    path = two_networks(tmp_path, "module.encoder_q.", "module.encoder_k.", 1)
    loaded = pretrained.load_weights(path, *initial("resnet_small"))
    assert_same((loaded.params, loaded.batch_stats), initial("resnet_small", seed=1))
    assert loaded.prefix == "encoder_q."


def test_one_network_under_two_names_is_read_and_two_networks_are_refused(tmp_path):
    path = two_networks(tmp_path, "featurizer.network.", "network.0.network.", 0)
    loaded = pretrained.load_weights(path, *initial("resnet_small"))
    assert_same((loaded.params, loaded.batch_stats), initial("resnet_small", seed=1))
    path = two_networks(tmp_path, "teacher.", "student.", 1)
    with pytest.raises(UserError, match=r"holds several networks, under student\., teacher\.; keep one of them"):
        pretrained.load_weights(path, *initial("resnet_small"))


def test_another_architectures_names_are_shown_ten_of_each_kind(tmp_path):
    theirs = {f"blocks.{n}.attn.qkv.weight": np.zeros(3, np.float32) for n in range(5000)}
    with pytest.raises(UserError, match=r"'blocks\.0\.attn\.qkv\.weight'.* and 4,990 more") as error:
        pretrained.load_weights(write(tmp_path, theirs), *initial("resnet_small"))
    assert "not in the file: bn1.bias" in sentence(error)
    assert len(sentence(error)) < 1200


def test_another_networks_file_names_it_and_the_first_tensors(tmp_path):
    theirs = {name: np.zeros(shape, np.float32) for name, shape in shapes(50, CLASSES).items()}
    with pytest.raises(UserError, match=r"looks like resnet50, so set config\.classifier\.name") as error:
        pretrained.load_weights(write(tmp_path, theirs), *initial("resnet18"))
    message = sentence(error)
    expected, found = shapes(18, CLASSES), shapes(50, CLASSES)
    counters = {name for name in expected if "num_batches" in name}
    missing = sorted(expected.keys() - counters - found.keys())
    surplus = sorted(found.keys() - expected.keys(), key=repr)
    reshaped = sorted(name for name in expected.keys() & found.keys() if found[name] != expected[name])
    for names, written in ((missing, str), (surplus, repr), (reshaped, "{} (".format)):
        for name in names[:10]:
            assert f" {written(name)}" in message
        for name in names[10:]:
            assert f" {written(name)}" not in message
        assert len(names) <= 10 or f" and {len(names) - 10} more" in message
    assert "layer1.0.conv1.weight (64, 64, 1, 1) for (64, 64, 3, 3)" in message
    assert len(message) < 2000


def test_a_deeper_networks_file_is_refused_though_it_has_every_tensor(tmp_path):
    theirs = {name: np.zeros(shape, np.float32) for name, shape in shapes(34, CLASSES).items()}
    with pytest.raises(UserError, match=r"looks like resnet34.*'layer1\.2\.bn1\.weight'.* more"):
        pretrained.load_weights(write(tmp_path, theirs), *initial("resnet18"))


def test_a_missing_tensor_is_an_error(tmp_path):
    tensors = small_tensors(tmp_path)
    del tensors["layer2.1.bn2.running_var"], tensors["conv1.weight"]
    with pytest.raises(UserError, match=r"not in the file: conv1\.weight, layer2\.1\.bn2\.running_var\)") as error:
        pretrained.load_weights(write(tmp_path, tensors), *initial("resnet_small"))
    assert "looks like" not in sentence(error)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "'bn1.bias' that are not finite"),
        (np.float64(1e300), "'bn1.bias' that are not finite"),
        (np.int8(1), r"'bn1.bias' as I8; .* not quantised"),
        (np.complex64(1), "'bn1.bias' as C64"),
    ],
)
def test_values_that_are_no_weights_are_refused(value, message, tmp_path):
    tensors = small_tensors(tmp_path)
    tensors["bn1.bias"] = np.full_like(tensors["bn1.bias"], value, dtype=np.asarray(value).dtype)
    with pytest.raises(UserError, match=message):
        pretrained.load_weights(write(tmp_path, tensors), *initial("resnet_small"))


def header(entries, length=None):
    content = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(content) if length is None else length) + content


def entry(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        header(b"{}", length=2**63),
        header(b"{}", length=10),
        header(b"\xff\xfe"),
        header(b"[" * 10_000),
        header({"conv1.weight": entry([2], 0, 8)}) + b"1234",
        header({"conv1.weight": entry([2], 8, 0)}) + b"12345678",
        header({"conv1.weight": entry([2**62, 4], 0, 0)}),
        header({"conv1.weight": entry([-1], 0, 4)}) + b"1234",
        header({"conv1.weight": entry([1], 0, 4), "bn1.bias": entry([1], 0, 4)}) + b"1234",
        header({"conv1.weight": entry([1], 0, 4, "OBJECT")}) + b"1234",
        header({"conv1.weight": entry([2**62, 0], 0, 0)}),  # well-formed, and no network's
        header({"conv1.weight": entry([4], 0, 2, "F4")}) + b"12",
    ],
)
def test_malformed_files_are_a_sentence(content, tmp_path):
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"hostile\.safetensors (is not a complete|does not fit)") as error:
        pretrained.load_weights(path, *initial("resnet_small"))
    sentence(error)


def test_a_truncated_file_is_a_sentence(tmp_path):
    path = write(tmp_path, small_tensors(tmp_path))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"not a complete safetensors file \(.*\); fetch it again") as error:
        pretrained.load_weights(path, *initial("resnet_small"))
    sentence(error)


class _Bomb:
    def __reduce__(self):
        return pytest.fail, ("the pickle was opened",)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("it's mine.pth", pickle.dumps(_Bomb())),
        ("model.PT", pickle.dumps(_Bomb(), protocol=0)),
        ("pytorch_model.bin", b""),
        ("named_wrongly.safetensors", pickle.dumps(_Bomb())),
        ("named_wrongly.safetensors", b"PK\x03\x04, as torch.save's archives begin"),
    ],
)
def test_pickles_are_refused_with_the_command_that_converts_them(name, content, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match="is a pickle") as error:
        pretrained.load_weights(path, *initial("resnet_small"))
    python, flag, program, source, target = shlex.split(sentence(error).split("convert it with: ")[1])
    assert (python, flag) == ("python", "-c")
    compile(program, "program", "exec")
    assert "weights_only=True" in program
    assert (source, target) == (str(path), f"{path}.safetensors")


class TestLocate:
    def test_a_path(self, tmp_path):
        path = write(tmp_path, small_tensors(tmp_path))
        assert pretrained.locate(str(path)) == path

    @pytest.mark.parametrize("source", ["", "timm/resnet50.tv_in1k", "."])
    def test_no_file(self, source, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(UserError, match=r"no file .*hf:OWNER/NAME"):
            pretrained.locate(source)

    @pytest.mark.parametrize("source", ["hf:", "hf:resnet50", "hf:a/b/c", "hf:../x y"])
    def test_no_repository_is_not_asked_for(self, source, monkeypatch):
        monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_: pytest.fail("the hub was asked"))
        with pytest.raises(UserError, match="is not a repository; write hf:OWNER/NAME"):
            pretrained.locate(source)

    def test_the_cached_copy_without_a_network(self, tmp_path, monkeypatch):
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(UserError, match=r"hf:owner/name could not be fetched .*the cache has no copy") as error:
            pretrained.locate("hf:owner/name")
        sentence(error)

        commit, repository = "0" * 40, tmp_path / "models--owner--name"
        (repository / "refs").mkdir(parents=True)
        (repository / "refs" / "main").write_text(commit)
        (repository / "snapshots" / commit).mkdir(parents=True)
        (repository / "snapshots" / commit / "model.safetensors").write_bytes(b"cached")
        assert pretrained.locate("hf:owner/name").read_bytes() == b"cached"

    def test_any_failure_of_the_hub_is_a_sentence(self, monkeypatch):
        def fail(repository, filename):
            assert (repository, filename) == ("timm/resnet50.tv_in1k", "model.safetensors")
            raise RuntimeError("the connection\nbroke")

        monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
        message = re.escape("hf:timm/resnet50.tv_in1k could not be fetched (the connection broke)")
        with pytest.raises(UserError, match=message) as error:
            pretrained.locate("hf:timm/resnet50.tv_in1k")
        sentence(error)


def test_a_large_empty_file_is_refused_by_its_first_bytes(tmp_path):
    with (tmp_path / "sparse.safetensors").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(UserError, match="not a complete safetensors file"):
        pretrained.load_weights(tmp_path / "sparse.safetensors", *initial("resnet_small"))


def test_a_pipe_holds_no_weights(tmp_path):
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(UserError, match="There is no file"):
        pretrained.locate(str(tmp_path / "pipe.safetensors"))

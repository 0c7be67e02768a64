"""Each protocol trains on, validates on and tests on what its table says, and nothing is in two parts."""

import numpy as np
import pytest

from align_jax.configuration import default_config
from align_jax.data.protocols import split_by_protocol, training_and_unseen
from align_jax.errors import UserError


class Labelled:
    """`size` examples of a domain; every tenth is of the rare class 1."""

    def __init__(self, name, size):
        self.name, self.size = name, size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        assert isinstance(index, int)
        return {"id": f"{self.name}/{index}", "label": int(index % 10 == 0)}

    def column(self, field):
        assert field == "label"
        return (np.arange(self.size) % 10 == 0).tolist()


SIZES = {"photo": 200, "sketch": 100, "cartoon": 50}


def domains(protocol, domain="sketch", seed=0, stratified=False, sizes=SIZES, duplicates=None):
    sources = {name: Labelled(name, size) for name, size in sizes.items()}
    config = default_config().data
    config.update({"protocol": protocol, "domain": domain, "split_seed": seed, "stratified": stratified})
    return split_by_protocol(config, "drawings", ("common", "rare"), sources, duplicates=duplicates)


def identities(source):
    return {source[index]["id"] for index in range(len(source))}


def parts(data):
    return {(s.domain, s.role): s.source for s in data.evaluation} | {(d, "train"): s for d, s in data.train.items()}


@pytest.mark.parametrize(
    ("protocol", "sizes"),
    [
        ("in_domain", {("sketch", "train"): 64, ("sketch", "validation"): 16, ("sketch", "id"): 20}),
        (
            "single_source",
            {("sketch", "train"): 80, ("sketch", "validation"): 20, ("photo", "ood"): 200, ("cartoon", "ood"): 50},
        ),
        (
            "leave_one_out",
            {("photo", "train"): 160, ("photo", "validation"): 40, ("cartoon", "train"): 40,
             ("cartoon", "validation"): 10, ("sketch", "ood"): 100},
        ),
    ],
)  # fmt: skip
def test_parts_are_those_of_the_protocol_and_disjoint(protocol, sizes):
    found = parts(domains(protocol))
    assert {name: len(source) for name, source in found.items()} == sizes
    everything = [identity for source in found.values() for identity in identities(source)]
    assert len(everything) == len(set(everything)) == sum(sizes.values())


def test_a_split_depends_on_seed_and_domain_and_not_on_which_domain_is_held_out():
    held_sketch, held_cartoon = domains("leave_one_out"), domains("leave_one_out", domain="cartoon")
    assert identities(held_sketch.train["photo"]) == identities(held_cartoon.train["photo"])
    assert identities(held_sketch.train["photo"]) != identities(domains("leave_one_out", seed=1).train["photo"])
    # Two domains of one size are not split alike.
    alike = domains("leave_one_out", domain="c", sizes={"a": 100, "b": 100, "c": 10})
    numbers = [{identity.split("/")[1] for identity in identities(alike.train[name])} for name in ("a", "b")]
    assert numbers[0] != numbers[1]


@pytest.mark.parametrize("protocol", ["in_domain", "leave_one_out"])
def test_stratified_every_part_has_its_share_of_the_rare_class(protocol):
    for (_, role), source in parts(domains(protocol, stratified=True)).items():
        if role != "ood":
            assert sum(source[i]["label"] for i in range(len(source))) == pytest.approx(len(source) / 10, abs=0.5)


@pytest.mark.parametrize(
    ("names", "protocol", "domain", "message"),
    [
        (["a", "b"], "in_domain", "c", "config.data.domain is 'c'; the domains are a, b"),
        (["a"], "single_source", "a", "needs two domains or more"),
        (["a"], "leave_one_out", "a", "choose 'in_domain'"),
    ],
)
def test_what_cannot_be_is_said(names, protocol, domain, message):
    with pytest.raises(UserError, match=message):
        training_and_unseen(names, protocol, domain)


@pytest.mark.parametrize("stratified", [False, True])
def test_identical_images_are_in_one_part(stratified):
    groups = [[number, number + 40, number + 50] for number in range(0, 40, 3)]
    data = domains("in_domain", stratified=stratified, duplicates={"sketch": groups})
    found = [{int(identity.split("/")[1]) for identity in identities(source)} for source in parts(data).values()]
    assert sum(map(len, found)) == 100
    for group in groups:
        assert sum(bool(part & set(group)) for part in found) == 1
    # Without this some group would have been divided.
    without = [
        {int(identity.split("/")[1]) for identity in identities(source)}
        for source in parts(domains("in_domain", stratified=stratified)).values()
    ]
    assert any(sum(bool(part & set(group)) for part in without) > 1 for group in groups)


def test_a_domain_too_small_to_split_is_refused():
    with pytest.raises(UserError, match="'tiny' of drawings has 2 images, too few"):
        domains("in_domain", domain="tiny", sizes={"tiny": 2})

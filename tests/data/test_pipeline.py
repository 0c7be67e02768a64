"""Batches are balanced, a function of (seed, step), and go on where they stopped."""

import jax
import numpy as np
import pytest

from align_jax.data import pipeline
from align_jax.data.augment import Augmentation
from align_jax.data.domains import DomainData
from align_jax.data.groups import class_groups
from align_jax.data.pipeline import TrainingBatches, evaluation_batches, training_examples
from align_jax.errors import UserError
from align_jax.runtime.sharding import data_mesh


class Numbered:
    """Examples that know their domain and number."""

    def __init__(self, domain, size):
        self.domain, self.size = domain, size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        index = int(index)
        image = np.full((16, 16, 3), index, np.uint8)
        return {
            "image": image,
            "mask": image[..., :1],
            "label": index,
            "domain": self.domain,
            "id": f"{self.domain}/{index}",
            "group": "wet" if index % 3 else "dry",
        }


# Crops of the whole image, without changes of colour.
NONE = Augmentation(smallest_crop=1.0, jitter=0.0, hue=0.0, grey=0.0)
SOURCES = {"a": Numbered(0, 5), "b": Numbered(1, 9), "c": Numbered(2, 7)}


def examples(seed=0, with_masks=False, class_groups=None):
    return training_examples(
        SOURCES, size=16, seed=seed, with_masks=with_masks, augmentation=Augmentation(), class_groups=class_groups
    )


@pytest.fixture
def batches():
    opened = []

    def open_batches(seed=0):
        opened.append(TrainingBatches(examples(seed), batch_size=6, mesh=data_mesh(), threads=2, prefetch=2))
        return opened[-1]

    yield open_batches
    for each in opened:
        each.close()


def test_every_batch_holds_as_many_of_each_domain(batches):
    stream = batches()
    for _ in range(8):
        np.testing.assert_array_equal(np.bincount(next(stream)["domain"]), [2, 2, 2])


def test_every_pass_over_a_domain_sees_each_example_once_in_a_new_order():
    of_a = [examples()[3 * i]["label"] for i in range(15)]
    for start in (0, 5, 10):
        assert sorted(of_a[start : start + 5]) == list(range(5))
    assert len({tuple(of_a[start : start + 5]) for start in (0, 5, 10)}) > 1


def test_batches_are_a_function_of_seed_and_step(batches):
    first, second, other = (next(batches(seed)) for seed in (1, 1, 2))
    jax.tree.map(np.testing.assert_array_equal, first, second)
    assert not np.array_equal(first["image"], other["image"])


def test_domains_do_not_share_a_seed_across_runs():
    """Seed 1's second domain is not seed 2's first one, as it would be were seeds added up."""
    same = {"x": Numbered(0, 9), "y": Numbered(0, 9)}
    order = {
        seed: [
            [training_examples(same, size=16, seed=seed, with_masks=False, augmentation=Augmentation())[i]["label"]
             for i in range(start, 18, 2)]
            for start in (0, 1)
        ]
        for seed in range(4)
    }  # fmt: skip
    assert len({tuple(domain) for seed in order.values() for domain in seed}) == 8


def test_a_restored_position_gives_the_very_next_batch(batches):
    stream = batches()
    for _ in range(3):
        next(stream)
    state = stream.state()  # prefetched batches are not counted
    expected = [next(stream) for _ in range(3)]
    again = batches()
    again.restore(state)
    for batch in expected:
        jax.tree.map(np.testing.assert_array_equal, next(again), batch)


def test_masks_come_only_where_they_are_wanted():
    assert "mask" in examples(with_masks=True)[0]
    assert "mask" not in examples()[0]


def test_evaluation_pads_the_last_batch_and_says_so():
    batches = list(evaluation_batches(SOURCES["b"], size=16, batch_size=4, threads=2))
    assert [batch["image"].shape[0] for batch in batches] == [4, 4, 4]
    np.testing.assert_array_equal([batch["valid"].sum() for batch in batches], [4, 4, 1])
    seen = np.concatenate([batch["label"][batch["valid"]] for batch in batches])
    np.testing.assert_array_equal(seen, np.arange(9))
    assert (batches[0]["image"][2] == 2).all()
    chosen = next(evaluation_batches(SOURCES["b"], size=16, batch_size=4, threads=2, indices=np.array([7, 1])))
    np.testing.assert_array_equal(chosen["label"][chosen["valid"]], [7, 1])


def test_domains_are_counted_among_those_that_are_trained_on():
    """Whatever numbers the data give them: a loss over domains knows of no others."""
    sources = {"b": Numbered(1, 9), "d": Numbered(3, 7)}
    stream = training_examples(sources, size=16, seed=0, with_masks=False, augmentation=Augmentation())
    assert [int(stream[index]["domain"]) for index in range(6)] == [0, 1, 0, 1, 0, 1]
    assert sources["d"][0]["domain"] == 3


def test_the_number_of_the_class_and_group_goes_to_the_device(batches):
    """Numbers are given in the order of labels and names, over all domains; the others get none unless it is asked."""
    data = DomainData("numbered", tuple(map(str, range(9))), SOURCES, (), has_masks=True)
    numbers = class_groups(data)
    assert numbers == {(label, "wet" if label % 3 else "dry"): label for label in range(9)}
    stream = TrainingBatches(examples(class_groups=numbers), batch_size=6, mesh=data_mesh(), threads=2, prefetch=2)
    batch = next(stream)
    stream.close()
    np.testing.assert_array_equal(batch["class_group"], batch["label"])
    assert "class_group" not in next(batches())
    assert "group" not in batch


def test_balanced_groups_are_drawn_equally_often_and_their_examples_too():
    """Of ten examples one is alone in its group: it comes as often as the nine others together."""

    class Uneven(Numbered):
        def __getitem__(self, index):
            return super().__getitem__(index) | {"label": 0, "group": "rare" if int(index) == 3 else "usual"}

    def drawn(seed, start=0, balanced=True):
        stream = training_examples(
            {"a": Uneven(0, 10), "b": Uneven(1, 10)}, size=1, seed=seed, with_masks=False, augmentation=NONE,
            balanced=balanced,
        )  # fmt: skip
        return [int(stream[index]["image"].max()) for index in range(start, start + 1200)]

    counts = np.bincount(drawn(0), minlength=10)
    assert abs(counts[3] - 600) < 4 * np.sqrt(300)
    assert (np.abs(np.delete(counts, 3) - 600 / 9) < 4 * np.sqrt(600 / 9)).all()
    np.testing.assert_array_equal(np.bincount(drawn(0, balanced=False)), [120] * 10)
    assert drawn(0) == drawn(0) != drawn(1)
    # Not the same draws in every ten of a domain, and the domains draw for themselves.
    assert drawn(0)[:20] != drawn(0)[20:40]
    assert drawn(0)[::2] != drawn(0)[1::2]


def test_without_groups_no_method_can_be_told_them():
    data = DomainData("plain", ("a",), {"x": [{"label": 0}]}, (), has_masks=False)
    with pytest.raises(UserError, match=r"groups, but plain has none; set config\.data\.group"):
        class_groups(data)


@pytest.mark.parametrize("processes", [2, 3])
def test_the_rows_of_all_processes_are_the_batch_of_one(processes, batches, monkeypatch):
    """Also from a saved position, which is the same for any number of processes."""
    whole = batches()
    wanted = [next(whole) for _ in range(4)]
    position = whole.state()
    # A process alone would place its rows as if they were all.
    rows = np.array_split(np.arange(6), processes)
    for own in rows:
        monkeypatch.setattr(pipeline, "own_rows", lambda mesh, size, own=own: own)
        part = batches()
        for batch in wanted:
            found = next(part)
            assert set(found) == set(batch)
            for name, values in batch.items():
                np.testing.assert_array_equal(found[name], values[own])
        assert part.state() == position
    monkeypatch.undo()
    after = next(whole)
    for own in rows:
        monkeypatch.setattr(pipeline, "own_rows", lambda mesh, size, own=own: own)
        resumed = batches()
        resumed.restore(position)
        np.testing.assert_array_equal(next(resumed)["image"], after["image"][own])


def test_processes_share_an_evaluation_and_have_the_same_number_of_batches():
    """Nine examples in batches of four: of the last one, the second process has only padding."""
    of_one = list(evaluation_batches(SOURCES["b"], size=16, batch_size=4, threads=2))
    for own in (np.array([0, 1]), np.array([2, 3])):
        shares = list(evaluation_batches(SOURCES["b"], size=16, batch_size=4, threads=2, rows=own))
        assert len(shares) == len(of_one) == 3
        for share, batch in zip(shares, of_one, strict=True):
            np.testing.assert_array_equal(share["valid"], batch["valid"][own])
            np.testing.assert_array_equal(share["id"][share["valid"]], batch["id"][own][share["valid"]])
            assert share["image"].shape == (2, 16, 16, 3)

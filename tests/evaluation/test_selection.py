"""Each rule selects the step that its name promises."""

import pytest

from align_jax.evaluation.selection import Evaluated, Selected, better

# validation, in distribution, out of distribution at steps 10, 20, 30
HISTORY = {10: (0.7, 0.6, 0.5), 20: (0.9, 0.5, 0.2), 30: (0.8, 0.4, 0.4)}


def select(selection, roles=("validation", "id", "ood")):
    best = None
    for step, accuracies in HISTORY.items():
        splits = dict(zip(("validation", "id", "ood"), accuracies, strict=True))
        best = better(selection, step, [Evaluated(role, splits[role]) for role in roles], best)
    return best


@pytest.mark.parametrize(("selection", "step"), [("training_domain_validation", 20), ("last", 30), ("oracle", 10)])
def test_the_rule_selects(selection, step):
    selected = select(selection)
    assert selected.step == step
    assert selected.validation_accuracy == HISTORY[step][0]


def test_the_oracle_of_a_protocol_without_unseen_domains_is_its_own_test():
    best = select("oracle", roles=("validation", "id"))
    assert (best.step, best.score) == (10, 0.6)


def test_domains_count_equally():
    splits = [Evaluated("validation", 0.5), Evaluated("validation", 0.9)]
    assert better("training_domain_validation", 5, splits, None) == Selected(5, 0.7, 0.7)


def test_of_equals_the_earlier():
    first = better("training_domain_validation", 1, [Evaluated("validation", 0.5)], None)
    assert better("training_domain_validation", 2, [Evaluated("validation", 0.5)], first).step == 1

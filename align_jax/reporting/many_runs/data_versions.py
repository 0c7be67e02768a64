"""Which runs tested the same data: those whose tests agree in their numbers of examples.

A data set has copies of different sizes, and images that one reader refuses; the name is the same in all of them.
"""

from collections.abc import Sequence

from align_jax.runs.read import Run

Examples = tuple[tuple[tuple[str, str, str], int], ...]
"""Numbers of examples, by domain, role and split."""


def data_versions(runs: Sequence[Run]) -> list[tuple[Examples, list[Run]]]:
    """Puts runs of one data set, protocol and split together that agree on every test that two of them share.

    A run that contradicts no version is part of the one with which it shares most tests. The runs of a version come
    with what they say of it.
    """
    versions: list[tuple[dict[tuple[str, str, str], int], list[Run]]] = []
    for run in runs:
        tested = {(r.domain, r.role, r.split): r.examples for r in run.results if r.examples is not None}
        own = {(domain, "", split): n for (domain, split), n in run.examples.items()} | tested
        fitting = [version for version in versions if all(version[0].get(test, n) == n for test, n in own.items())]
        if not fitting:
            versions.append((own, [run]))
            continue
        examples, of_version = max(fitting, key=lambda version: len(version[0].keys() & own.keys()))
        examples.update(own)
        of_version.append(run)
    return [(tuple(sorted(examples.items())), of_version) for examples, of_version in versions]

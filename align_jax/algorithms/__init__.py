"""The methods. Each has a file with its losses, its objective, and its entry, an `Algorithm`.

A new method is a new file and a line in `ALGORITHMS`.
"""

from align_jax.algorithms import (
    align,
    background_swap,
    coral,
    dre,
    erm,
    gradia,
    group_dro,
    haics,
    irm,
    jtt,
    mixup,
    rrr,
    sgt,
    vrex,
)
from align_jax.algorithms.algorithm import Algorithm

# By `config.algorithm`.
ALGORITHMS: dict[str, Algorithm] = {
    "align": align.ALGORITHM,
    "erm": erm.ALGORITHM,
    "dre": dre.ALGORITHM,
    "sgt": sgt.ALGORITHM,
    "irm": irm.ALGORITHM,
    "group_dro": group_dro.ALGORITHM,
    "jtt": jtt.ALGORITHM,
    "mixup": mixup.ALGORITHM,
    "coral": coral.ALGORITHM,
    "vrex": vrex.ALGORITHM,
    "rrr": rrr.ALGORITHM,
    "gradia": gradia.ALGORITHM,
    "haics": haics.ALGORITHM,
    "background_swap": background_swap.ALGORITHM,
}

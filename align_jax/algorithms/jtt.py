"""Just train twice (JTT; Liu et al. 2021): the images that a first classifier gets wrong are drawn more often."""

from align_jax.algorithms import erm
from align_jax.algorithms.algorithm import Algorithm
from align_jax.settings import Setting, whole_number

ALGORITHM = Algorithm(
    lambda config: erm.classifier_objective(),
    warms_up=True,
    mistakes=lambda config: config.jtt.mistakes,
    anew=lambda config: True,
    title="JTT",
    citation="Liu et al. 2021",
    settings={
        # How many times as often the first classifier's mistakes are drawn; it is trained as long as the warm-up.
        "mistakes": Setting(5, whole_number(at_least=1, at_most=100)),
    },
)

"""Cross-entropy guided by one form, as a method that the library trains: `config.algorithm = "guidance_form"`."""

from align_jax import losses
from align_jax.algorithms import ALGORITHMS, Algorithm
from align_jax.objectives import Objective, term
from align_jax.settings import ZERO_OR_MORE, keyword_settings, one_of
from experiments.guidance_forms.forms import FORMS
from experiments.guidance_forms.maps import WithMaps

NAME = "guidance_form"


def classifier_objective(*, form: str = "bce", weight: float = 1.0) -> Objective:
    """L_clf = L_cls + weight * L_egl of this form, without L_reg."""
    return WithMaps({"cls": term(losses.cross_entropy), "egl": term(FORMS[form], weight=weight)})


ALGORITHM = Algorithm(
    lambda config: classifier_objective(**config[NAME]),
    guided_terms=("egl",),
    guidance="true",
    warms_up=True,
    title="A form of L_egl",
    settings=keyword_settings(classifier_objective, form=one_of(FORMS), weight=ZERO_OR_MORE),
)


def register() -> None:
    """Adds the method to those that `config.algorithm` names, in this process."""
    ALGORITHMS[NAME] = ALGORITHM

"""A model, cut behind one of its layers: what lies before it gives the map A, what lies after it the outputs.

A cut is made from two functions (`cut`), from a Linen module (`linen.cut_linen`) or an NNX model (`nnx.cut_nnx`). It is
a pytree whose leaves are the model's variables, so that `jax.jit(saliency.grad_cam)(cut, image)` takes them as
arguments, and another checkpoint of the same model compiles nothing anew.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from jax.tree_util import Partial
from jaxtyping import Array, Float, Shaped

from align_jax.saliency.targets import Outputs

Features = Float[Array, "b u v d"]
Head = Callable[[Features], Outputs]


class Cut(NamedTuple):
    """A model behind which one knows where to look.

    Attributes:
      split: image [b h w c] -> (A [b u v d], head), where head(A) are the model's outputs of that image. Each image's
        outputs depend on its own features alone. The head may read the image as well: in a network whose later layers
        see more than A, such as a U-Net, it does.
    """

    split: Callable[[Float[Array, "b h w c"]], tuple[Features, Head]]

    def features(self, image: Float[Array, "b h w c"]) -> Features:
        """The map A of the images."""
        return self.split(image)[0]

    def outputs(self, image: Float[Array, "b h w c"]) -> Outputs:
        """f(x) = head(features(x))."""
        features, head = self.split(image)
        return head(features)


def cut(features: Callable[[Float[Array, "b h w c"]], Features], head: Head) -> Cut:
    """A cut between two functions, with f(x) = head(features(x)).

    To keep variables as arguments of compiled programs, give `jax.tree_util.Partial(function, variables)`.

    Args:
      features: image -> A [b u v d].
      head: A -> the model's outputs, usually logits [b k].
    """
    return Cut(Partial(_both, _as_pytree(features), _as_pytree(head)))


def split(model: Cut | Head, image: Shaped[Array, "b ..."]) -> tuple[Features, Head]:
    """The map and the head of a cut; a plain function is a head, which is given its features in place of an image.

    Raises:
      ValueError: the features are no map [b u v d].
    """
    features, head = model.split(image) if isinstance(model, Cut) else (image, model)
    if features.ndim != 4 or features.shape[0] != image.shape[0]:
        raise ValueError(
            f"the layer's output has the shape {list(features.shape)}, and a map of {image.shape[0]} images is needed, "
            "[b u v d]: choose another layer, or say how tokens lie, Tokens(grid=(14, 14), prefix=1)"
        )
    return features, head


def _both(features: Callable[[Any], Features], head: Head, image: Float[Array, "b h w c"]) -> tuple[Features, Head]:
    return features(image), head


def _as_pytree(function: Callable[..., Any]) -> Partial:
    return function if isinstance(function, Partial) else Partial(function)

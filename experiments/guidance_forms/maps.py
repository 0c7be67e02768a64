"""The maps that the forms read: the label's without normalisation, and those of an earlier stage of the network.

`MapsForward` adds them to the quantities of `align_jax.forward`, and `WithMaps` is an objective whose terms may name
them. What no term names is not computed.
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from align_jax import saliency
from align_jax.forward import ClassifierForward, MaskerForward
from align_jax.labels import of_label
from align_jax.models.resnet import ResNet, resnet
from align_jax.objectives import Metrics, Objective

# The earlier map is that of this stage: 16 x 16 cells at 64 pixels, each of which sees 20 x 20 pixels. A cell of the
# last map sees 108 x 108.
NETWORK, STAGE = "resnet_small", 1

Head = Callable[[Float[Array, "b u v d"]], Float[Array, "b k"]]


class MapsForward(ClassifierForward):
    """The quantities of a classifier's forward pass, and these maps."""

    @cached_property
    def label_map(self) -> Float[Array, "b u v"]:
        """The label's Grad-CAM, neither rectified nor normalised."""
        return saliency.grad_cam(
            lambda features: self.classifier.head(self.params, features), self.features, self.label
        )

    @cached_property
    def _earlier(self) -> tuple[Head, Float[Array, "b u v d"]]:
        """The rest of the network, and the earlier map; both as in evaluation.

        BatchNorm uses its stored statistics in both: with the batch's, an example's gradient would contain its effect
        on all others, and a head's may not (see `networks.Classifier`).
        """
        module = resnet(NETWORK, self.num_classes)
        variables = {"params": self.params, "batch_stats": self.batch_stats}

        def head(features: Float[Array, "b u v d"]) -> Float[Array, "b k"]:
            logits: Any = module.apply(variables, features, STAGE, method=from_stage)
            return logits

        features: Any = module.apply(variables, self.image, STAGE, method=up_to_stage)
        return head, features

    @cached_property
    def earlier_label_map(self) -> Float[Array, "b u v"]:
        """The label's Grad-CAM on the earlier map."""
        return saliency.grad_cam(*self._earlier, self.label)

    @cached_property
    def earlier_evidence(self) -> Float[Array, "b k u v"]:
        """`contributions` to the logits of each cell of the earlier map.

        Grad-CAM's mean gradient is exact for the last map, where the gradient is the same in every cell. Here it is
        not, and what a cell adds is measured by its own gradient (HiResCAM, Draelos and Carin 2020).
        """
        return contributions(*self._earlier)


class WithMaps(Objective):
    """An objective whose terms may also name the quantities of `MapsForward`."""

    __slots__ = ()

    def __call__(
        self,
        quantities: ClassifierForward | MaskerForward,
        step: Int[Array, ""],
        carried: Mapping[str, Array] | None = None,
    ) -> tuple[Float[Array, ""], Metrics, dict[str, Array]]:
        """As `Objective`."""
        fields = {field.name: getattr(quantities, field.name) for field in dataclasses.fields(quantities)}
        return super().__call__(MapsForward(**fields), step, carried)


def contributions(head: Head, features: Float[Array, "b u v d"]) -> Float[Array, "b k u v"]:
    """Gradient times activation, summed over channels, of each logit less the mean over logits."""
    examples, classes = jax.eval_shape(head, features).shape

    def of_class(number: Int[Array, ""]) -> Float[Array, "b u v"]:
        gradient = jax.grad(lambda h: of_label(head(h), jnp.full(examples, number)).sum())(features)
        return (gradient * features).sum(-1)

    maps = jax.vmap(of_class, out_axes=1)(jnp.arange(classes))
    return maps - maps.mean(1, keepdims=True)


def up_to_stage(module: ResNet, image: Float[Array, "b h w 3"], stage: int) -> Float[Array, "b u v d"]:
    """The map after the first stages of a ResNet without a max-pool, on stored BatchNorm statistics."""
    x = nn.relu(module.bn1(module.conv1(image), True))
    return _through(module, x, range(1, stage + 1))


def from_stage(module: ResNet, features: Float[Array, "b u v d"], stage: int) -> Float[Array, "b k"]:
    """The logits from that map: the later stages and the head."""
    return module.head(_through(module, features, range(stage + 1, len(module.stage_sizes) + 1)))


def _through(module: ResNet, x: Float[Array, "b u v d"], stages: range) -> Float[Array, "b u v d"]:
    for number in stages:
        for block in getattr(module, f"layer{number}"):
            x = block(x, True)
    return x

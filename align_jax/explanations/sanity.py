"""Does the map depend on the classifier at all? Sanity checks that spoil it on purpose.

Source: Adebayo et al., Sanity checks for saliency maps (NeurIPS 2018).
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, Shaped

from align_jax.explanations.maps import orders_pixels
from align_jax.explanations.soft import correlation

Variables = Any  # Linen's collections, an NNX state, or any other tree of arrays
Explain = Callable[[Variables], Float[Array, "b h w"]]


def rank_correlation(first: Shaped[Array, "b h w"], second: Shaped[Array, "b h w"]) -> Float[Array, " b"]:
    """Spearman's correlation of two maps' values; equal values share their mean rank. NaN if a map orders no pixels.

    Signed maps are usually compared by their absolute values: give these.
    """
    if first.shape != second.shape:
        raise ValueError(f"maps of shapes {list(first.shape)} and {list(second.shape)} cannot be compared")
    both = correlation(_mean_ranks(first), _mean_ranks(second))
    return jnp.where(orders_pixels(first) & orders_pixels(second), both, jnp.nan)


def randomised(
    explain: Explain,
    variables: Variables,
    fresh: Variables,
    layers: Sequence[str],
) -> dict[str, Float[Array, " b"]]:
    """Model parameter randomisation (MPRT): layers are initialised anew, from the logits down, and stay so.

    The rank correlation of the absolute maps with those of the trained model should fall at the first layers. A map
    that stays as it is does not explain this model.

    Args:
      explain: variables -> maps, always of the same classes, such as those that the trained model predicts.
      variables: of the trained model: Linen's collections, such as `params` and `batch_stats`, or an NNX state.
      fresh: of the same model, initialised by its own `init`, or constructor, with a seed.
      layers: paths in the variables, "block4/conv1" or "blocks.11", in the order of their randomisation: the logits'
        layer first. `from_the_logits` makes them.

    Returns:
      For each layer the correlation once it and those before it in `layers` are random.

    Raises:
      ValueError: a layer that has no variables, or `fresh` of another model.
    """
    trained = explain(variables)
    spoilt, found = variables, {}
    for layer in layers:
        spoilt = _with_layer(spoilt, fresh, layer)
        found[layer] = rank_correlation(jnp.abs(trained), jnp.abs(explain(spoilt)))
    return found


def random_class(key: Key[Array, ""], label: Int[Array, " b"], num_classes: int) -> Int[Array, " b"]:
    """For each image a class other than its own, whose map should be another: the random logit.

    Raises:
      ValueError: fewer than two classes.

    Source: Sixt et al., When explanations lie (ICML 2020), section 4.
    """
    if num_classes < 2:
        raise ValueError(f"{num_classes} class has no other class: the random logit needs at least 2")
    return (label + jax.random.randint(key, label.shape, 1, num_classes)) % num_classes


def from_the_logits(layers: Sequence[str], variables: Variables) -> list[str]:
    """The order of `randomised`: the layers that have variables, the last one first.

        paths = [layer.path for layer in saliency.layers(module, variables, image)]
        order = explanations.from_the_logits(paths, variables)

    Of a block and the layers inside it, the layers are taken.

    Args:
      layers: paths, in the order in which the model computes them.
      variables: see `randomised`.
    """
    paths = [_names(path) for path, _ in jax.tree.leaves_with_path(variables)]
    found = [layer for layer in dict.fromkeys(layers) if _depth(paths, _parts(layer)) is not None]
    parts = {layer: _parts(layer) for layer in found}
    blocks = {block for block in found for layer in found if block != layer and _begins(parts[layer], parts[block], 0)}
    return [layer for layer in reversed(found) if layer not in blocks]


def _with_layer(variables: Variables, fresh: Variables, layer: str) -> Variables:
    """The variables with everything under a layer's path taken from `fresh`."""
    paths, of_fresh = ([_names(path) for path, _ in jax.tree.leaves_with_path(tree)] for tree in (variables, fresh))
    if paths != of_fresh:
        raise ValueError("`fresh` has other variables than `variables`: initialise the same model, by its own init")
    parts = _parts(layer)
    depth = _depth(paths, parts)
    if depth is None:
        known = sorted({"/".join(path[:2]) for path in paths})
        raise ValueError(f"no variables have the layer {layer!r}: their paths begin with {', '.join(known)}")

    def chosen(path: tuple[Any, ...], trained: Any, new: Any) -> Any:
        return new if _begins(_names(path), parts, depth) else trained

    return jax.tree.map_with_path(chosen, variables, fresh)


def _parts(layer: str) -> list[str]:
    """A path as Linen and `saliency.layers` write it, by its names."""
    return re.split("[/.]", layer)


def _names(path: tuple[Any, ...]) -> list[str]:
    return [jax.tree_util.keystr((entry,), simple=True) for entry in path]


def _begins(path: list[str], parts: list[str], depth: int) -> bool:
    return path[depth : depth + len(parts)] == parts


def _depth(paths: list[list[str]], parts: list[str]) -> int | None:
    """Where layers begin in the paths: at once in an NNX state, below the collections in Linen's variables."""
    return next((depth for depth in (0, 1) if any(_begins(path, parts, depth) for path in paths)), None)


def _mean_ranks(maps: Shaped[Array, "b h w"]) -> Float[Array, "b h w"]:
    def of_image(values: Float[Array, " n"]) -> Float[Array, " n"]:
        rising = jnp.sort(values)
        lower, upper = (jnp.searchsorted(rising, values, side=side) for side in ("left", "right"))
        return ((lower + upper - 1) / 2).astype(jnp.float32)

    return jax.vmap(of_image)(maps.reshape(len(maps), -1)).reshape(maps.shape)

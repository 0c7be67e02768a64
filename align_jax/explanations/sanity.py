"""Does the map depend on the classifier at all? Sanity checks that spoil it on purpose.

Source: Adebayo et al., Sanity checks for saliency maps (NeurIPS 2018).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, Shaped

from align_jax.explanations.maps import orders_pixels
from align_jax.explanations.soft import correlation

Variables = Mapping[str, Any]
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
      variables: of the trained model: collections of nested dicts, such as Linen's `params` and `batch_stats`.
      fresh: of the same model, initialised by its own `init` with a seed.
      layers: paths in the variables, "block4/conv1", in the order of their randomisation: the logits' layer first.
        `saliency.layers` lists a model's layers in the other order, those without variables too.

    Returns:
      For each layer the correlation once it and those before it in `layers` are random.

    Raises:
      ValueError: a layer that no collection has.
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


def _with_layer(variables: Variables, fresh: Variables, layer: str) -> dict[str, Any]:
    """The variables with everything under a layer's path taken from `fresh`."""
    names = layer.split("/")
    changed, missing = {}, True
    for collection, tree in variables.items():
        if _at(tree, names) is None:
            changed[collection] = tree
        else:
            if _at(fresh.get(collection, {}), names) is None:
                raise ValueError(
                    f"`fresh` has no {layer!r} in {collection!r}: initialise the same model, by its own init"
                )
            missing, changed[collection] = False, _replaced(tree, fresh[collection], names)
    if missing:
        known = sorted({str(name) for tree in variables.values() for name in tree})
        raise ValueError(f"no variables have the layer {layer!r}: the first names are {', '.join(known)}")
    return changed


def _at(tree: Any, names: Sequence[str]) -> Any:
    for name in names:
        if not isinstance(tree, Mapping) or name not in tree:
            return None
        tree = tree[name]
    return tree


def _replaced(tree: Mapping[str, Any], fresh: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    name, *rest = names
    return {**tree, name: _replaced(tree[name], fresh[name], rest) if rest else fresh[name]}


def _mean_ranks(maps: Shaped[Array, "b h w"]) -> Float[Array, "b h w"]:
    def of_image(values: Float[Array, " n"]) -> Float[Array, " n"]:
        rising = jnp.sort(values)
        lower, upper = (jnp.searchsorted(rising, values, side=side) for side in ("left", "right"))
        return ((lower + upper - 1) / 2).astype(jnp.float32)

    return jax.vmap(of_image)(maps.reshape(len(maps), -1)).reshape(maps.shape)

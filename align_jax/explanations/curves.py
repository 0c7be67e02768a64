"""The altered forward passes of a batch, run once: p_c while pixels are removed, or kept alone, in the map's order.

Notation: image x, target c, probability p_c, saliency map s at the image's resolution. Pixels are ranked by falling s;
of equal values the first one, row by row, ranks higher. A pixel is removed with all its channels, and is replaced by a
*fill* (`fills`), on the image as the model sees it. `faithfulness` reads its metrics off the curves.

    curves = perturb(probabilities, image, cam, fill="image_mean", remove=ERASER, keep=ERASER)
    comprehensiveness(curves), sufficiency(curves)

The numbers depend on the fill: on one trained network Grad-CAM's comprehensiveness is 0.245 with mean, 0.226 with
image_mean and 0.084 with blur. State the fill wherever a number is reported, and give the same metric of a random map
beside it (`controls`): images with altered pixels are out of distribution, and only the difference from it is due to
the map.

The altered batches are evaluated one after the other, so memory is that of one forward pass, however many there are.
Inside of `jax.jit` they are a loop of the compiled program; outside each is a call of `probabilities`, which is best
compiled then. Equal alterations are evaluated once.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from align_jax.explanations.maps import check_map, pixel_ranks, where_ordered
from align_jax.fills import Fill, filled
from align_jax.preprocessing import Preprocessing
from align_jax.saliency.passes import one_by_one
from align_jax.saliency.targets import Target, class_outputs, one_class, predicted, score

Probabilities = Callable[[Float[Array, "b h w c"]], Float[Array, "b k"]]

ERASER = (0.01, 0.05, 0.1, 0.2, 0.5)  # ERASER's bins, as fractions of the pixels

_ROUNDINGS: dict[str, Callable[[float], int]] = {"ceil": math.ceil, "floor": math.floor}


@flax.struct.dataclass
class Curves:
    """p_c of altered images, in float32; NaN for an image whose map orders no pixels.

    Attributes:
      clean: p_c of the images as they are.
      removed: without the top pixels, at each fraction of `remove`.
      kept: the top pixels alone, at each fraction of `keep`.
      remove: the fractions of pixels that were asked for, in [0, 1].
      keep: likewise.
      removed_pixels: how many pixels that is, after rounding.
      kept_pixels: likewise.
      pixels: h w.
    """

    clean: Float[Array, " b"]
    removed: Float[Array, "b n"]
    kept: Float[Array, "b m"]
    remove: tuple[float, ...] = flax.struct.field(pytree_node=False)
    keep: tuple[float, ...] = flax.struct.field(pytree_node=False)
    removed_pixels: tuple[int, ...] = flax.struct.field(pytree_node=False)
    kept_pixels: tuple[int, ...] = flax.struct.field(pytree_node=False)
    pixels: int = flax.struct.field(pytree_node=False)


class Alterations(NamedTuple):
    """Which images to make from a map.

    Attributes:
      fill: what replaces pixels, see `fills.filled`.
      remove: fractions of the pixels that are removed.
      keep: fractions of the pixels that are kept, all others being replaced.
    """

    fill: Fill
    remove: tuple[float, ...] = ()
    keep: tuple[float, ...] = ()


def in_steps(steps: int) -> tuple[float, ...]:
    """The fractions 0, 1/steps, ..., 1, for deletion and insertion.

    Raises:
      ValueError: fewer than one step.
    """
    if steps < 1:
        raise ValueError(f"steps {steps} must be at least 1; 20 is the default")
    return tuple(step / steps for step in range(steps + 1))


def perturb(
    probabilities: Probabilities,
    image: Float[Array, "b h w c"],
    maps: Float[Array, "b h w"],
    target: Target = "predicted",
    *,
    fill: Fill,
    remove: Sequence[float] = (),
    keep: Sequence[float] = (),
    rounding: str = "ceil",
    preprocessing: Preprocessing | None = None,
) -> Curves:
    """p_c while the top pixels of the maps are removed, and while they are kept alone.

    Costs a forward pass for the clean image and one for each fraction, but for those that show the same image.

    Args:
      probabilities: images to class probabilities, each image on its own (BatchNorm with stored statistics).
      image: as the model sees them.
      maps: one for each image at its resolution; only the order of its values counts.
      target: the class c that the map explains, by default the predicted one; or a function of the probabilities.
      fill: see `fills.filled`.
      remove: fractions of the pixels in [0, 1], such as `ERASER` or `in_steps(20)`.
      keep: likewise.
      rounding: the number of pixels is the ceil (default) or the floor of the fraction of h w.
      preprocessing: how the images were normalised, for fills that need it.

    Raises:
      ValueError: an unknown fill or rounding, a fraction outside [0, 1], shapes that do not fit, more than one class an
        image, or a class outside 0 ... k - 1; inside `jax.jit` such a class's values are NaN instead (see `labels`).
      TypeError: a target that is neither classes nor a function.

    Source: DeYoung et al., ERASER (ACL 2020), section 4.2, on pixels; Petsiuk et al., RISE (BMVC 2018), section 4.1.
    """
    wanted = Alterations(fill, tuple(remove), tuple(keep))
    one = {"": maps}
    return perturb_all(probabilities, image, one, target, (wanted,), rounding=rounding, preprocessing=preprocessing)[
        ""
    ][0]


def perturb_all(
    probabilities: Probabilities,
    image: Float[Array, "b h w c"],
    maps: Mapping[str, Float[Array, "b h w"]],
    target: Target,
    alterations: Sequence[Alterations],
    *,
    rounding: str = "ceil",
    preprocessing: Preprocessing | None = None,
    clean: Float[Array, "b ..."] | None = None,
) -> dict[str, tuple[Curves, ...]]:
    """The curves of several maps and several fills, in one loop that evaluates equal images once.

    Args, errors: as `perturb`; and `clean`, the probabilities of the images as they are, if they are known already.

    Returns:
      For each map its curves, one for each of the alterations.
    """
    for saliency in maps.values():
        check_map(saliency, image)
    classes = one_class(target, image.shape[0])
    pixels = image.shape[1] * image.shape[2]
    plan = _Plan(pixels, rounding)
    places = {
        name: [plan.of(number, index, wanted) for index, wanted in enumerate(alterations)]
        for number, name in enumerate(maps)
    }
    outputs = _outputs(
        probabilities,
        image,
        _fills(image, alterations, plan.versions, preprocessing),
        jnp.stack([pixel_ranks(saliency) for saliency in maps.values()]),
        plan.versions,
        clean,
    )
    if isinstance(classes, str):
        classes = predicted(class_outputs(outputs[0]))
    p = jax.vmap(lambda outputs: score(outputs, classes))(outputs).T
    curves: dict[str, tuple[Curves, ...]] = {}
    for name, saliency in maps.items():
        p_of_map = where_ordered(p, saliency)
        curves[name] = tuple(
            Curves(
                p_of_map[:, 0],
                p_of_map[:, np.array(removed, int)],
                p_of_map[:, np.array(kept, int)],
                wanted.remove,
                wanted.keep,
                plan.counts(wanted.remove),
                plan.counts(wanted.keep),
                pixels,
            )
            for wanted, (removed, kept) in zip(alterations, places[name], strict=True)
        )
    return curves


class _Version(NamedTuple):
    """One altered batch: the top `top` pixels of the map `which` alone (`keep`) or all the others, on a fill."""

    which: int
    top: int
    keep: bool
    fill: int


class _Plan:
    """The different versions of a batch, in the order in which they are evaluated; the first is the clean one."""

    def __init__(self, pixels: int, rounding: str) -> None:
        if rounding not in _ROUNDINGS:
            raise ValueError(f"unknown rounding {rounding!r}: choose one of {', '.join(_ROUNDINGS)}")
        self._pixels, self._rounding = pixels, _ROUNDINGS[rounding]
        self._places = {_Version(0, 0, False, 0): 0}

    @property
    def versions(self) -> list[_Version]:
        return list(self._places)

    def counts(self, fractions: Sequence[float]) -> tuple[int, ...]:
        if not all(0 <= fraction <= 1 for fraction in fractions):
            raise ValueError(f"fractions {tuple(fractions)} must be numbers in [0, 1], such as {ERASER}")
        # 0.07 * 100 is 7.000000000000001, and its ceil 8: whole counts are kept whole.
        return tuple(self._rounding(round(fraction * self._pixels, 6)) for fraction in fractions)

    def of(self, which: int, fill: int, wanted: Alterations) -> tuple[list[int], list[int]]:
        """The places of a map's versions: with pixels removed, and with pixels kept."""
        removed, kept = (
            [self._place(_Version(which, count, keep, fill)) for count in self.counts(fractions)]
            for keep, fractions in ((False, wanted.remove), (True, wanted.keep))
        )
        return removed, kept

    def _place(self, version: _Version) -> int:
        if version.top in (0, self._pixels):  # the clean image, or the fill alone: no map decides
            clean = version.keep == (version.top == self._pixels)
            version = _Version(0, 0, False, 0) if clean else _Version(0, self._pixels, False, version.fill)
        return self._places.setdefault(version, len(self._places))


def _fills(
    image: Float[Array, "b h w c"],
    alterations: Sequence[Alterations],
    versions: list[_Version],
    preprocessing: Preprocessing | None,
) -> Float[Array, "f b h w c"]:
    """Of each alteration the filled images; of one whose fill no version shows, the images, which cost nothing."""
    shown = {version.fill for version in versions[1:]}
    fills = [filled(image, wanted.fill, preprocessing) for wanted in alterations]  # refuses unknown ones, used or not
    return jnp.stack([fill if number in shown else image for number, fill in enumerate(fills)])


def _outputs(
    probabilities: Probabilities,
    image: Float[Array, "b h w c"],
    fills: Float[Array, "f b h w c"],
    ranks: Int[Array, "m b h w"],
    versions: list[_Version],
    clean: Float[Array, "b ..."] | None,
) -> Float[Array, "n b ..."]:
    """What the model says of every version; of the first, it has said it already if `clean` is given."""

    def of_version(
        which: Int[Array, ""], top: Int[Array, ""], keep: Bool[Array, ""], fill: Int[Array, ""]
    ) -> Float[Array, "b ..."]:
        shown = jnp.where(((ranks[which] < top) == keep)[..., None], image, fills[fill])
        return probabilities(shown).astype(jnp.float32)

    known = [] if clean is None else [clean[None].astype(jnp.float32)]
    if new := versions[len(known) :]:
        known.append(one_by_one(of_version, tuple(jnp.array(column) for column in zip(*new, strict=True))))
    return jnp.concatenate(known)

"""A picture of many maps: images in rows, methods in columns, with the scale beside them."""

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Array, Float, Shaped

from align_jax.preprocessing import Preprocessing

# Diverging, with grey for zero, and apart for readers who do not see red and green.
SIGNED = ("#2166ac", "#92c5de", "#bdbdbd", "#f4a582", "#b2182b")
UNSIGNED = "inferno"
# In inches: a cell, and the room around them.
CELL, LEFT, EDGE, BOTTOM = 1.2, 0.3, 0.25, 0.6
# Letters in a line of a title: more would reach into the next column.
TITLE = 18


def sheet(
    images: Shaped[Array, "b h w c"],
    maps: Mapping[str, Float[Array, "b _ _"]],
    *,
    names: Sequence[str] = (),
    shared_scale: bool = False,
    opacity: float = 0.6,
    preprocessing: Preprocessing | None = None,
) -> bytes:
    """A PNG with a row for each image: the image itself, and each method's map over it in grey.

    Maps are drawn as they are given, on their own grid: a raw Grad-CAM shows its cells. A method with a negative value
    anywhere is signed: its scale is symmetric, and zero is grey. Else its scale starts at zero. A map without a finite
    value, or of zeros, has no colour.

    Args:
      images: 8-bit, or in [0, 1]; or as the model sees them, with `preprocessing`.
      maps: by the method's name, one map for each image, of any resolution.
      names: of the images, for the rows.
      shared_scale: one scale for all maps of all methods, so that they can be compared; else one for each map.
      opacity: of the maps, in (0, 1].
      preprocessing: how the images were normalised.

    Returns:
      The PNG file's bytes.

    Raises:
      ValueError: no maps, numbers of maps or names that differ from that of the images, an opacity outside (0, 1], or
        images that are neither 8-bit nor in [0, 1].
      ImportError: Matplotlib is not installed.
    """
    arrays = {name: np.asarray(values, np.float32) for name, values in maps.items()}
    shown = _pixels(images, preprocessing)
    _check(shown, arrays, names, opacity)
    signed = {name: bool((values < 0).any()) for name, values in arrays.items()}
    largest = {name: _largest(values) for name, values in arrays.items()}
    everywhere = max(float(values.max()) for values in largest.values())
    if shared_scale:
        largest = {name: np.full(len(shown), everywhere) for name in arrays}
    titles = {name: textwrap.fill(name, TITLE) for name in arrays}
    lines = max(title.count("\n") + 1 for title in titles.values())
    figure, cells, bars = _grid(shown, len(arrays), len(set(signed.values())), lines)
    for row, image in enumerate(shown):
        _draw_image(cells[row, 0], image, names[row] if names else "", "image" if row == 0 else "")
        for column, (name, values) in enumerate(arrays.items(), start=1):
            cells[row, column].set_title(titles[name] if row == 0 else "", fontsize=8)
            _draw_map(cells[row, column], image, values[row], signed[name], float(largest[name][row]), opacity)
    for bar, kind in zip(bars, sorted(set(signed.values())), strict=True):
        _draw_scale(bar, kind, everywhere if shared_scale else None)
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return png.getvalue()


def _pixels(images: Shaped[Array, "b h w c"], preprocessing: Preprocessing | None) -> Float[np.ndarray, "b h w c"]:
    """In [0, 1]."""
    pixels = np.asarray(images)
    if pixels.dtype == np.uint8:  # nobody has normalised them
        return pixels / np.float32(255)
    if preprocessing is not None:
        return np.clip(np.asarray(preprocessing.denormalise(images)), 0, 1)
    if pixels.min() < 0 or pixels.max() > 1:
        raise ValueError(
            f"images with values from {pixels.min():g} to {pixels.max():g} are neither 8-bit nor in [0, 1]: say how "
            "they were normalised, preprocessing=Preprocessing(mean, std)"
        )
    return pixels.astype(np.float32)


def _check(
    images: Float[np.ndarray, "b h w c"],
    maps: Mapping[str, Float[np.ndarray, "_ _ _"]],
    names: Sequence[str],
    opacity: float,
) -> None:
    if not maps:
        raise ValueError("no maps were given: give at least one method, such as {'Grad-CAM': maps}")
    for name, values in maps.items():
        if values.ndim != 3 or len(values) != len(images):
            raise ValueError(f"{name} has the shape {list(values.shape)}: give {len(images)} maps, one for each image")
    if names and len(names) != len(images):
        raise ValueError(f"{len(names)} names were given for {len(images)} images: give one for each")
    if not 0 < opacity <= 1:
        raise ValueError(f"an opacity of {opacity} does not lie in (0, 1]")


def _grid(images: Float[np.ndarray, "b h w c"], methods: int, scales: int, lines: int) -> tuple[Any, Any, list[Any]]:
    """A figure with room for so many lines of titles, its cells [b methods + 1], and the places of the scales."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("saliency.sheet draws with Matplotlib: pip install matplotlib") from error
    rows, columns = len(images), methods + 1
    cell = CELL * images.shape[1] / images.shape[2]
    top = EDGE * (1 + lines) / 2
    width, height = LEFT + CELL * columns + EDGE, top + cell * rows + BOTTOM
    figure = Figure(figsize=(width, height), dpi=120)
    sides = {"left": LEFT / width, "right": 1 - EDGE / width, "wspace": 0.06}
    cells = figure.add_gridspec(rows, columns, bottom=BOTTOM / height, top=1 - top / height, hspace=0.06, **sides)
    strip = figure.add_gridspec(1, scales, bottom=0.4 / height, top=0.5 / height, **sides | {"wspace": 0.3})
    return figure, cells.subplots(squeeze=False), [figure.add_subplot(strip[0, place]) for place in range(scales)]


def _largest(maps: Float[np.ndarray, "b u v"]) -> Float[np.ndarray, " b"]:
    return np.nanmax(np.where(np.isfinite(maps), np.abs(maps), 0), axis=(1, 2))


def _colours(signed: bool) -> Any:
    import matplotlib
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("signed", SIGNED) if signed else matplotlib.colormaps[UNSIGNED]


def _draw_image(axes: Any, image: Float[np.ndarray, "h w c"], name: str, title: str) -> None:
    axes.imshow(image if image.shape[-1] == 3 else image[..., 0], cmap="gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    axes.set_ylabel(name, fontsize=7)
    axes.set_title(title, fontsize=8)


def _draw_map(
    axes: Any,
    image: Float[np.ndarray, "h w c"],
    values: Float[np.ndarray, "u v"],
    signed: bool,
    largest: float,
    opacity: float,
) -> None:
    height, width = image.shape[:2]
    place = (0, width, height, 0)
    axes.imshow(image.mean(axis=-1), cmap="gray", vmin=0, vmax=1, extent=place)
    if largest > 0:
        lowest = -largest if signed else 0
        axes.imshow(
            values,
            cmap=_colours(signed),
            vmin=lowest,
            vmax=largest,
            extent=place,
            alpha=opacity,
            interpolation="nearest",
        )
    axes.set(xticks=[], yticks=[])


def _draw_scale(axes: Any, signed: bool, largest: float | None) -> None:
    """The bar of a kind of scale; with its number if all maps share it."""
    ramp = np.linspace(-1 if signed else 0, 1, 256)[None]
    axes.imshow(ramp, cmap=_colours(signed), aspect="auto", extent=(ramp[0, 0], 1, 0, 1))
    limit = "largest" if largest is None else f"{largest:.3g}"
    ticks = {-1: f"-{limit}", 0: "0", 1: limit} if signed else {0: "0", 1: limit}
    axes.set_xticks(list(ticks), list(ticks.values()), fontsize=7)
    axes.set_yticks([])
    axes.set_xlabel("all maps" if largest is not None else "each map by itself", fontsize=7)

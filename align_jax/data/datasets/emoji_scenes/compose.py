"""The pixels of a scene: an emoji over a crop of a panorama.

All arithmetic is in integers, so that a scene has the same pixels on every machine and under every version of NumPy
and Pillow.
"""

import functools

import numpy as np
from jaxtyping import Integer, UInt8

from align_jax.data.datasets.emoji_scenes.layout import FRACTION, ObjectLayout, SceneLayout


@functools.lru_cache(maxsize=1024)
def triangle_taps(
    length: int, target: int
) -> tuple[Integer[np.ndarray, "target taps"], Integer[np.ndarray, "target taps"]]:
    """The indices of the old samples that make each of `target` new ones, and their integer weights.

    The triangle filter (antialiased bilinear) gives the old sample j the weight
    `max(0, 1 - |(i + 1/2) n/m - (j + 1/2)| / max(1, n/m))` in the new sample i, for n = `length`, m = `target`.
    Multiplied by `2 max(n, m)` these are integers; they are not normalised.
    """
    distance = np.abs((2 * np.arange(target)[:, None] + 1) * length - (2 * np.arange(length) + 1) * target)
    weight = np.maximum(2 * max(length, target) - distance, 0)
    taps = int(np.count_nonzero(weight, axis=1).max())
    first = np.minimum(np.argmax(weight > 0, axis=1), length - taps)
    index = first[:, None] + np.arange(taps)
    return index, np.take_along_axis(weight, index, axis=1).astype(np.int32)


def _filter_rows(values: Integer[np.ndarray, "n columns c"], target: int) -> Integer[np.ndarray, "m columns c"]:
    index, weight = triangle_taps(values.shape[0], target)
    rows = values.reshape(values.shape[0], -1)[index]
    return np.einsum("mt,mtx->mx", weight, rows).reshape(target, *values.shape[1:])


def resize(values: UInt8[np.ndarray, "h w c"], height: int, width: int) -> UInt8[np.ndarray, "height width c"]:
    """Resamples with the triangle filter, antialiased where it shrinks, and rounds once, at the end."""
    # 32 bits are enough: from 160 pixels to 32 the sums reach 255 times 1600 squared.
    rows = _filter_rows(values.astype(np.int32), height)
    total = _filter_rows(rows.swapaxes(0, 1), width).swapaxes(0, 1)
    row_weight = triangle_taps(values.shape[0], height)[1].sum(axis=1, dtype=np.int32)
    column_weight = triangle_taps(values.shape[1], width)[1].sum(axis=1, dtype=np.int32)
    weight = (row_weight[:, None] * column_weight)[..., None]
    return ((total + weight // 2) // weight).astype(np.uint8)


def cut_out(cell: UInt8[np.ndarray, "h w 4"]) -> UInt8[np.ndarray, "height width 4"]:
    """An emoji without its transparent border, colour premultiplied by alpha.

    Vendors leave different margins, so that objects would have another size in each domain. Premultiplied, the colour
    of a transparent pixel does not bleed into its neighbours when the emoji is scaled.
    """
    rows, columns = (np.flatnonzero(cell[..., 3].any(axis=axis)) for axis in (1, 0))
    inside = cell[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.int32)
    colour, alpha = inside[..., :3], inside[..., 3:]
    return np.concatenate([(colour * alpha + 127) // 255, alpha], axis=-1).astype(np.uint8)


def scale_object(emoji: UInt8[np.ndarray, "h w 4"], longer_side: int) -> UInt8[np.ndarray, "height width 4"]:
    """Scales a cut-out so that its longer side has `longer_side` pixels."""
    longest = max(emoji.shape[:2])
    height, width = (max(1, (side * longer_side + longest // 2) // longest) for side in emoji.shape[:2])
    return resize(emoji, height, width)


def render_background(
    panorama: UInt8[np.ndarray, "h w 3"], layout: SceneLayout, size: int
) -> UInt8[np.ndarray, "size size 3"]:
    """A square crop of the panorama, whose left and right ends meet, at `size` pixels."""
    columns = (layout.left + np.arange(layout.side)) % panorama.shape[1]
    if layout.flipped:
        columns = columns[::-1]
    return resize(panorama[layout.top : layout.top + layout.side, columns], size, size)


def compose(
    emoji: UInt8[np.ndarray, "h w 4"],
    object_layout: ObjectLayout,
    panorama: UInt8[np.ndarray, "height width 3"],
    scene_layout: SceneLayout,
    size: int,
) -> tuple[UInt8[np.ndarray, "size size 3"], UInt8[np.ndarray, "size size 1"]]:
    """A scene, and the true mask of its object, which is the alpha in 0..255.

    A pixel is `p + round((255 - alpha) b / 255)`, with the object's premultiplied colour p and the background b: only
    the background where the mask is 0, and only the object where it is 255.

    Args:
        emoji: a result of `cut_out`.
        object_layout: where the object goes, and its size.
        panorama: RGB, 360 degrees wide.
        scene_layout: which part of the panorama the scene shows.
        size: side of the result, in pixels.
    """
    image = render_background(panorama, scene_layout, size)
    drawn = scale_object(emoji, object_layout.longer_side_at(size)).astype(np.int32)
    if object_layout.flipped:
        drawn = drawn[:, ::-1]
    height, width = drawn.shape[:2]
    top = (object_layout.top * (size - height + 1)) // FRACTION
    left = (object_layout.left * (size - width + 1)) // FRACTION
    window = np.s_[top : top + height, left : left + width]

    colour, alpha = drawn[..., :3], drawn[..., 3:]
    mask = np.zeros((size, size, 1), np.uint8)
    mask[window] = alpha
    image[window] = colour + ((255 - alpha) * image[window] + 127) // 255
    return image, mask

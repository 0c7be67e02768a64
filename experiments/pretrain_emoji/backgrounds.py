"""Backgrounds made of random numbers alone: a backbone trained on them has not seen the benchmark's photographs.

Each is a gradient covered by overlapping regions (ellipses, polygons, half-planes, with sharp or blurred edges). Each
region has a gradient, stripes or noise of its own. So there are occlusion, edges and texture at all scales, as in
photographs.
"""

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

MOST_REGIONS = 14
# OpenCV's fixed-point coordinates: 1/16 of a pixel.
SHIFT = 4

Picture = Float32[np.ndarray, "s s 3"]


def background(generator: np.random.Generator, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """A random picture; equal states of the generator give equal pictures.

    Args:
      generator: the source of randomness.
      size: side in pixels.
    """
    colours = _palette(generator)
    canvas = _surface(generator, size, colours)
    for _ in range(generator.integers(MOST_REGIONS, endpoint=True)):
        region = _region(generator, size)
        canvas = canvas + region * (_surface(generator, size, colours) - canvas)
    canvas = canvas + _noise(generator, size, float(generator.uniform(0, 20)))
    if generator.random() < 0.3:
        canvas = cv2.GaussianBlur(canvas, (0, 0), generator.uniform(0.5, 2))
    return np.clip(np.round(canvas), 0, 255).astype(np.uint8)


def _palette(generator: np.random.Generator) -> Float32[np.ndarray, "6 3"]:
    """Tinted grey levels; as in photographs, the tint is weak in most pictures and strong in some."""
    levels = generator.uniform(0, 255, (6, 1))
    tints = generator.normal(0, generator.exponential(30), (6, 3))
    return (levels + tints).astype(np.float32)


def _surface(generator: np.random.Generator, size: int, colours: Float32[np.ndarray, "n 3"]) -> Picture:
    """A linear or round gradient between two colours; some surfaces also have stripes or noise."""
    first, second = colours[generator.integers(len(colours), size=2)]
    share = _ramp(generator, size)
    kind = generator.random()
    if kind < 0.2:
        # From smooth waves to hard edges, and from a few to many stripes.
        sharpness = generator.uniform(1, 8)
        share = 0.5 + 0.5 * np.tanh(sharpness * np.sin(share * generator.uniform(6, 80)))
    surface = first + share[..., None] * (second - first)
    if kind > 0.6:
        surface = surface + _noise(generator, size, float(generator.uniform(5, 50)))
    return surface.astype(np.float32)


def _ramp(generator: np.random.Generator, size: int) -> Float32[np.ndarray, "s s"]:
    """Values that grow across the picture, along a line or away from a point; about 0 to 1."""
    axis = np.arange(size, dtype=np.float32) / size
    if generator.random() < 0.7:
        angle = generator.uniform(0, 2 * np.pi)
        values = np.cos(angle) * axis + np.sin(angle) * axis[:, None]
    else:
        x, y = generator.uniform(-0.5, 1.5, 2)
        values = np.hypot(axis - x, axis[:, None] - y)
    return ((values - values.min()) / (values.max() - values.min())).astype(np.float32)


def _noise(generator: np.random.Generator, size: int, strength: float) -> Picture:
    """Noise at every scale; the larger a random exponent, the stronger the coarse scales."""
    exponent = generator.uniform(0, 1.5)
    coloured = generator.random() < 0.3
    total = np.zeros((1, 1, 3), np.float32)
    cells = [cells for cells in (2, 4, 8, 16, 32, 64) if cells <= size]
    weights = np.array(cells, np.float32) ** -exponent
    for cell, weight in zip(cells, weights / np.linalg.norm(weights), strict=True):
        finer = generator.standard_normal((cell, cell, 3 if coloured else 1), np.float32)
        total = cv2.resize(total, (cell, cell), interpolation=cv2.INTER_CUBIC) + weight * finer
    return cv2.resize(total, (size, size), interpolation=cv2.INTER_CUBIC) * np.float32(strength)


def _region(generator: np.random.Generator, size: int) -> Float32[np.ndarray, "s s 1"]:
    """The share of each pixel that a new surface covers: a random shape of random size, opaque or nearly so."""
    mask = np.zeros((size, size), np.uint8)
    unit = size << SHIFT
    # Uniform in the logarithm: photographs have more small things than large ones.
    extent = np.exp(generator.uniform(np.log(0.08), np.log(0.9)))
    centre = generator.uniform(-0.1, 1.1, 2)
    angle = generator.uniform(0, 2 * np.pi)
    kind = generator.integers(4)
    if kind == 0:
        axes = extent * unit * generator.uniform(0.2, 0.6, 2)
        whole = [tuple(np.round(pair).astype(int).tolist()) for pair in (centre * unit, axes)]
        cv2.ellipse(mask, whole[0], whole[1], float(np.degrees(angle)), 0, 360, 255, -1, cv2.LINE_AA, SHIFT)
    else:
        if kind == 1:  # a rectangle, upright as often as not
            angle *= generator.integers(2)
            half = extent * generator.uniform(0.15, 0.6, 2)
            corners = half * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        elif kind == 2:  # a star-shaped polygon
            turns = np.sort(generator.uniform(0, 2 * np.pi, generator.integers(3, 9, endpoint=True)))
            radii = extent * generator.uniform(0.2, 0.7, (len(turns), 1))
            corners = radii * np.stack([np.cos(turns), np.sin(turns)], -1)
        else:  # a half-plane, such as the ground below a horizon
            corners = np.array([[-3.0, 0.0], [3.0, 0.0], [3.0, 6.0], [-3.0, 6.0]])
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        points = np.round((corners @ turn + centre) * unit).astype(np.int32)
        cv2.fillPoly(mask, [points], 255, cv2.LINE_AA, SHIFT)
    region: np.ndarray = mask.astype(np.float32) / 255
    if generator.random() < 0.4:
        region = cv2.GaussianBlur(region, (0, 0), generator.uniform(0.5, 4))
    return (region * np.float32(generator.uniform(0.6, 1)))[..., None]

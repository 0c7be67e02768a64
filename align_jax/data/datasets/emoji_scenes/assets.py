"""Reads the emoji of four vendors and the panoramas that come with the package."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from align_jax.data.datasets.emoji_scenes.compose import cut_out
from align_jax.data.datasets.emoji_scenes.concepts import Concept

FOLDER = Path(__file__).parent / "assets"


class Index(NamedTuple):
    """The contents of `assets/index.json`."""

    cell: int  # side of an emoji in its vendor's atlas, in pixels
    columns: int  # emoji in a row of an atlas
    atlases: dict[str, str]  # files, by vendor
    concepts: tuple[Concept, ...]
    backgrounds: tuple[str, ...]


def load_index() -> Index:
    """Reads `assets/index.json`."""
    content = json.loads((FOLDER / "index.json").read_text(encoding="utf-8"))
    return Index(
        cell=content["size"],
        columns=content["columns"],
        atlases=content["atlas"],
        concepts=tuple(Concept(entry["codepoint"], entry["name"], entry["class"]) for entry in content["concepts"]),
        backgrounds=tuple(content["backgrounds"]),
    )


def load_emoji(index: Index, vendor: str) -> dict[str, UInt8[np.ndarray, "h w 4"]]:
    """The emoji of a vendor by code point, at most 64 x 64, cut out as `compose.cut_out` says."""
    atlas = np.asarray(Image.open(FOLDER / index.atlases[vendor]).convert("RGBA"))
    emoji = {}
    for number, concept in enumerate(index.concepts):
        row, column = (index.cell * place for place in divmod(number, index.columns))
        emoji[concept.codepoint] = cut_out(atlas[row : row + index.cell, column : column + index.cell])
    return emoji


def load_panoramas(index: Index) -> dict[str, UInt8[np.ndarray, "256 512 3"]]:
    """The panoramas by name, RGB."""
    return {
        name: np.asarray(Image.open(FOLDER / "backgrounds" / f"{name}.jpg").convert("RGB"))
        for name in index.backgrounds
    }

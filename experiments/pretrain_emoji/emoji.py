"""The emoji to learn from, and their pictures: from the packages emoji-datasource-google and emoji-datasource-twitter.

The label is Unicode's subgroup. The emoji of emoji_scenes must stay unseen, whatever their class or vendor; `learnable`
says which emoji are therefore left out. The packages are not trusted.
"""

import dataclasses
import io
import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from align_jax.data import images
from align_jax.data.datasets.emoji_scenes.assets import load_index
from align_jax.data.datasets.emoji_scenes.compose import cut_out
from align_jax.data.preparing.archives import extract
from align_jax.errors import UserError

# Noto Emoji and Twemoji: the licences of emoji-datasource's other image sets forbid passing on learnt weights.
VENDORS = ("google", "twitter")
PACKAGE = "emoji-datasource-"
SIDE = 64
FEWEST_OF_A_SUBGROUP = 4

# Flags are a fifth of all emoji, and rectangles that differ only in their pattern; components are skin-colour swatches.
LEFT_OUT_CATEGORIES = ("Flags", "Component")
# Subgroups without an emoji of the benchmark that still show one of its classes: mammals and buildings.
LEFT_OUT_SUBGROUPS = ("cat-face", "monkey-face", "place-other")
# Single emoji that show one of its classes, in subgroups that otherwise do not.
LEFT_OUT_CODEPOINTS = frozenset({
    "1f3c7", "1f9f8", "1fa85",  # mammal: horse racing, teddy bear, piñata
    "1f344", "1f383", "1f33e",  # produce: mushroom, jack-o'-lantern, ear of rice
    "1f6a3", "1f6b4", "1f6b5", "1f6f7", "1f6d2",  # vehicle: rowing, two of biking, sled, shopping trolley
    "1f3d5",  # building: camping
    "1f3bd", "1f94b", "1f94a", "1f93f", "26f8", "1f3bf", "1f4bc",  # clothing: shirt to briefcase
    "1f52a", "2702", "1f9f9", "1faa0",  # tool: knife, scissors, broom, plunger
})  # fmt: skip


class Entry(NamedTuple):
    """An emoji as the package lists it.

    Attributes:
      codepoint: as `plain_codepoint` writes it.
      category, subgroup: Unicode's.
      image: the file's name.
    """

    codepoint: str
    category: str
    subgroup: str
    image: str


@dataclasses.dataclass(frozen=True)
class Emoji:
    """One vendor's drawing of an emoji: a cut-out with premultiplied colour, see `compose.cut_out`."""

    codepoint: str
    subgroup: str
    vendor: str
    pixels: UInt8[np.ndarray, "h w 4"]


def plain_codepoint(codepoint: str) -> str:
    """Code points joined by `-`, in lower case, without the variation selector, which some lists omit."""
    return "-".join(part for part in codepoint.lower().split("-") if part != "fe0f")


def benchmark_codepoints() -> frozenset[str]:
    """The code points of all emoji in the eight classes of emoji_scenes; the same for every vendor."""
    return frozenset(plain_codepoint(concept.codepoint) for concept in load_index().concepts)


def learnable(entries: Sequence[Entry], benchmark: frozenset[str]) -> list[Entry]:
    """The entries without everything that shows a class of the benchmark.

    Left out are: its emoji; every subgroup that contains one of them; sequences that contain one (a firefighter is a
    person and a fire engine); and the categories, subgroups and emoji in the lists of this file.
    """
    left_out_subgroups = {entry.subgroup for entry in entries if entry.codepoint in benchmark} | {*LEFT_OUT_SUBGROUPS}
    left_out_codepoints = benchmark | LEFT_OUT_CODEPOINTS
    return [
        entry
        for entry in entries
        if entry.category not in LEFT_OUT_CATEGORIES
        and entry.subgroup not in left_out_subgroups
        and entry.codepoint not in left_out_codepoints
        and left_out_codepoints.isdisjoint(entry.codepoint.split("-"))
    ]


def load_emoji(archives: Iterable[Path]) -> list[Emoji]:
    """All emoji to learn from, of all archives, without skin-colour variants, in the order of their code points.

    Args:
      archives: npm's tarballs of emoji-datasource-google or emoji-datasource-twitter; they need not be trusted.

    Raises:
      UserError: another package, or the same one twice; an archive, a list or an image that cannot be read.
    """
    emoji: dict[str, list[Emoji]] = {}
    for archive in archives:
        with tempfile.TemporaryDirectory() as folder:
            package = extract(archive, Path(folder) / "extracted") / "package"
            vendor = _vendor(package, archive)
            if vendor in emoji:
                raise UserError(f"{archive} is {PACKAGE}{vendor}, like an earlier archive; give each package once.")
            entries = learnable(_entries(package / "emoji.json", vendor, archive), benchmark_codepoints())
            with images.without_pillow_warnings():
                emoji[vendor] = [
                    Emoji(entry.codepoint, entry.subgroup, vendor, _pixels(package, vendor, entry.image, archive))
                    for entry in entries
                ]
    concepts = {(drawing.subgroup, drawing.codepoint) for drawings in emoji.values() for drawing in drawings}
    sizes = Counter(subgroup for subgroup, _ in concepts)
    learnt = (
        drawing
        for drawings in emoji.values()
        for drawing in drawings
        if sizes[drawing.subgroup] >= FEWEST_OF_A_SUBGROUP
    )
    return sorted(learnt, key=lambda drawing: (drawing.codepoint, drawing.vendor))


def _vendor(package: Path, archive: Path) -> str:
    content = _json(package / "package.json", archive)
    name = content.get("name") if isinstance(content, dict) else None
    for vendor in VENDORS:
        if name == PACKAGE + vendor:
            return vendor
    valid = " and ".join(PACKAGE + vendor for vendor in VENDORS)
    raise UserError(f"{archive} is the npm package {name!r}; give those of {valid}.")


def _entries(path: Path, vendor: str, archive: Path) -> list[Entry]:
    content = _json(path, archive)
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise UserError(f"{archive} has an emoji.json that is not a list of emoji; fetch it again.")
    entries = {}
    for row in content:
        fields = [row.get(name) for name in ("unified", "category", "subcategory", "image")]
        if not all(isinstance(field, str) for field in fields):
            raise UserError(f"{archive} lists an emoji without code point, category or image in emoji.json.")
        codepoint, category, subgroup, image = fields
        # The image's name becomes part of a path, and the list is not trusted.
        if not re.fullmatch(r"[0-9a-f-]+\.png", image):
            raise UserError(f"{archive} lists the image {image!r}, which is not a valid file name; fetch it again.")
        # Where a vendor has no drawing, its package may hold another vendor's.
        if row.get(f"has_img_{vendor}") is True:
            entries[plain_codepoint(codepoint)] = Entry(plain_codepoint(codepoint), category, subgroup, image)
    return list(entries.values())


def _json(path: Path, archive: Path) -> object:
    try:
        content: object = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{archive} has no package/{path.name}; give the tarball that npm pack fetches.") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{archive} has a {path.name} that cannot be read; fetch it again.") from error
    return content


def _pixels(package: Path, vendor: str, name: str, archive: Path) -> UInt8[np.ndarray, "h w 4"]:
    try:
        content = (package / "img" / vendor / str(SIDE) / name).read_bytes()
        # The careful reader first: it checks the size before it decodes, and refuses a truncated file.
        height, width, _ = images.decode(content).shape
    except FileNotFoundError as error:
        raise UserError(f"{archive} lists {name} but does not have it; fetch it again.") from error
    except images.BadImage as error:
        raise UserError(f"{archive} has an image {name} that cannot be read: {error}.") from error
    rgba = np.asarray(Image.open(io.BytesIO(content), formats=images.FORMATS).convert("RGBA"))
    if (height, width) != (SIDE, SIDE) or not rgba[..., 3].any():
        raise UserError(f"{archive} has an image {name} that is empty or not {SIDE} x {SIDE} pixels; fetch it again.")
    return cut_out(rgba)

"""Tokens of a transformer as a map: which of them are patches, and how the patches lie in the image."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

# A class token, perhaps one for distillation, or a class token and four registers.
LARGEST_PREFIX = 5


class Tokens(NamedTuple):
    """How tokens [b n c] lie in an image: `prefix` tokens that are no patch, then the patches, row by row.

    What is None is inferred where only one answer fits (see `resolved`).

    Attributes:
      grid: (u, v), the rows and columns of patches.
      prefix: how many tokens come before the patches, such as 1 for a class token.
    """

    grid: tuple[int, int] | None = None
    prefix: int | None = None

    def split(
        self, tokens: Float[Array, "b n c"], height: int, width: int
    ) -> tuple[Float[Array, "b p c"], Float[Array, "b u v c"]]:
        """The tokens before the patches, and the patches as a map. `join` is the inverse.

        Args:
          tokens: what a layer returns.
          height, width: of the image.

        Raises:
          ValueError: as `resolved`.
        """
        grid, prefix = self.resolved(tokens.shape[1], height, width)
        before, patches = jnp.split(tokens, [prefix], axis=1)
        return before, patches.reshape(tokens.shape[0], *grid, tokens.shape[2])

    def resolved(self, count: int, height: int, width: int) -> tuple[tuple[int, int], int]:
        """Grid and prefix, as numbers that fit.

        A grid is inferred where the patches are squares: u : v is then the image's height : width. A prefix is inferred
        if exactly one of 0 to 5 leaves such a grid.

        Args:
          count: n.
          height, width: of the image.

        Raises:
          ValueError: they do not fit n tokens, or what is to be inferred has no or several answers.
        """
        if self.grid is not None:
            rows, columns = self.grid
            prefix = count - rows * columns if self.prefix is None else self.prefix
            if min(rows, columns) < 1 or prefix < 0 or prefix + rows * columns != count:
                raise ValueError(
                    f"{self} does not fit a layer of {count} tokens: rows x columns + prefix must be {count}, and the "
                    f"grid has {rows * columns} patches"
                )
            return (rows, columns), prefix
        prefixes = range(LARGEST_PREFIX + 1) if self.prefix is None else (self.prefix,)
        fitting = [(grid, prefix) for prefix in prefixes if (grid := _grid(count - prefix, height, width))]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            candidates = " or ".join(str(Tokens(*each)) for each in fitting)
            raise ValueError(f"{count} tokens may be {candidates}: say which, by tokens=")
        others = f"{LARGEST_PREFIX} or fewer" if self.prefix is None else self.prefix
        raise ValueError(
            f"{count} tokens of an image of {height} x {width} are no grid of square patches after {others} other "
            "tokens: say how they lie, tokens=Tokens(grid=(14, 14), prefix=1)"
        )


def join(before: Float[Array, "b p c"], patches: Float[Array, "b u v c"]) -> Float[Array, "b n c"]:
    """The tokens again: the inverse of `Tokens.split`."""
    images, rows, columns, width = patches.shape
    return jnp.concatenate([before, patches.reshape(images, rows * columns, width).astype(before.dtype)], axis=1)


def _grid(patches: int, height: int, width: int) -> tuple[int, int] | None:
    """Rows and columns in the proportion of the image, if there are whole numbers; at least two patches."""
    rows = round((max(patches, 0) * height / width) ** 0.5)
    columns = patches // rows if rows else 0
    fits = patches > 1 and rows * columns == patches and rows * width == columns * height
    return (rows, columns) if fits else None

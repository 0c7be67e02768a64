"""Many passes through a model, a few at a time: memory is that of one chunk, however many passes there are.

Inside of `jax.jit` the chunks are a `jax.lax.scan`, and the compiled program holds one of them. Outside, they are a
loop in Python: the function given is called as it is, so that its own `jax.jit` serves every chunk and every later
call. (A loop of JAX's would be compiled for each call anew, since the function is a new one each time.)

What a pass needs, such as a mask, is best made inside of the function, from the pass's number and a key. So it is never
stored for all passes at once.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

# A tree of arrays whose first axis counts passes.
Items = Any
Result = TypeVar("Result")


def summed(function: Callable[[Items], Result], items: Items, chunk: int) -> Result:
    """The sum over all items of what `function` returns for a chunk of them: `f(items[:j]) + f(items[j:2j]) + ...`.

    If it is differentiated inside of `jax.jit`, the passes of a chunk are computed a second time rather than stored.

    Args:
      function: from a chunk of items, `[j ...]` with j <= chunk, to a sum over this chunk: any tree of arrays.
      items: what differs from pass to pass, a tree of arrays `[n ...]`: numbers of passes, weights, masks.
      chunk: how many passes go through the model at once. If it does not divide n, the last chunk is smaller, and has a
        program of its own.

    Raises:
      ValueError: a chunk below 1, no items, or arrays of unequal n.
    """
    count = _count(items, chunk)
    if not _is_staged() or count <= chunk:
        total: Any = None
        for part in _parts(items, count, chunk):
            result = function(part)
            total = result if total is None else jax.tree.map(jnp.add, total, result)
        return total
    whole, rest = _whole_and_rest(items, count, chunk)
    # Zeros like the sum, not only of its shape: inside of `jax.shard_map`, the type says whether devices differ.
    zeros = jax.tree.map(jnp.zeros_like, jax.eval_shape(function, _first(whole)))
    # The loop itself forbids that common subexpressions undo the checkpoint.
    body = jax.checkpoint(function, prevent_cse=False)
    total, _ = jax.lax.scan(lambda total, part: (jax.tree.map(jnp.add, total, body(part)), None), zeros, whole)
    return total if rest is None else jax.tree.map(jnp.add, total, function(rest))


def mapped(function: Callable[[Items], Result], items: Items, chunk: int) -> Result:
    """What `function` returns for each item, `[n ...]`.

    Args:
      function: from a chunk of items, `[j ...]` with j <= chunk, to a tree of arrays `[j ...]`.
      items, chunk: as in `summed`.

    Raises:
      ValueError: as `summed`.
    """
    count = _count(items, chunk)
    if not _is_staged() or count <= chunk:
        results = [function(part) for part in _parts(items, count, chunk)]
        return results[0] if len(results) == 1 else jax.tree.map(lambda *all_of: jnp.concatenate(all_of), *results)
    whole, rest = _whole_and_rest(items, count, chunk)
    body = jax.checkpoint(function, prevent_cse=False)
    _, results = jax.lax.scan(lambda _, part: (None, body(part)), None, whole)
    results = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), results)
    return results if rest is None else jax.tree.map(lambda *both: jnp.concatenate(both), results, function(rest))


def one_by_one(function: Callable[..., Result], items: tuple[Any, ...]) -> Result:
    """What `function` returns for each item, `[n ...]`, one item at a time.

    Args:
      function: takes the parts of one item as its arguments.
      items: the parts, each `[n ...]`.
    """

    def of_one(part: tuple[Any, ...]) -> Result:
        result = function(*jax.tree.map(lambda a: a[0], part))
        return jax.tree.map(lambda a: a[None], result)

    return mapped(of_one, items, chunk=1)


def _is_staged() -> bool:
    """Whether operations are being recorded, as inside of `jax.jit`; `vmap` and `grad` alone run them at once."""
    return isinstance(jnp.zeros(()), jax.core.Tracer)


def _count(items: Items, chunk: int) -> int:
    """n, which every array of the items has in common."""
    if chunk < 1:
        raise ValueError(f"a chunk of {chunk} passes is none: give 1 or more")
    counts = {leaf.shape[0] for leaf in jax.tree.leaves(items)}
    if len(counts) != 1 or 0 in counts:
        raise ValueError(f"items of the lengths {sorted(counts)} are no passes: give arrays of one length, 1 or more")
    return counts.pop()


def _parts(items: Items, count: int, chunk: int) -> Iterator[Items]:
    for start in range(0, count, chunk):
        yield jax.tree.map(lambda a, start=start: jnp.asarray(a[start : start + chunk]), items)


def _whole_and_rest(items: Items, count: int, chunk: int) -> tuple[Items, Items | None]:
    """The items as `[n // chunk, chunk ...]`, and those that are left over, or None."""
    end = count - count % chunk
    whole = jax.tree.map(lambda a: a[:end].reshape(end // chunk, chunk, *a.shape[1:]), items)
    return whole, (jax.tree.map(lambda a: jnp.asarray(a[end:]), items) if end < count else None)


def _first(whole: Items) -> Items:
    return jax.tree.map(lambda a: a[0], whole)

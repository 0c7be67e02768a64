"""Draws some training images more often than others: those that a classifier got wrong."""

import base64
import binascii
from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool

from align_jax.data.domains import Part, Source

# By training domain: whether the classifier got each image wrong.
Mistakes = Mapping[str, Bool[np.ndarray, " n"]]


def redrawn(sources: Mapping[str, Source], mistakes: Mistakes, times: int) -> dict[str, Source]:
    """Sources in which a mistake stands `times` times, so that each pass draws it as often, and the others once.

    Args:
      sources: the training domains.
      mistakes: for each of them.
      times: at least 1.
    """
    return {
        domain: Part(source, np.repeat(np.arange(len(source)), np.where(mistakes[domain], times, 1)))
        for domain, source in sources.items()
    }


def packed(mistakes: Mistakes) -> dict[str, str]:
    """As text for JSON: a bit for each image, in base64."""
    return {domain: base64.b64encode(np.packbits(wrong).tobytes()).decode() for domain, wrong in mistakes.items()}


def unpacked(text: object, sources: Mapping[str, Source]) -> dict[str, Bool[np.ndarray, " n"]]:
    """What `packed` wrote, for these training domains.

    Raises:
      ValueError: it is not that.
    """
    if not isinstance(text, dict) or text.keys() != sources.keys():
        raise ValueError(f"the redrawn images are not those of {', '.join(sources)}")
    found = {}
    for domain, source in sources.items():
        try:
            bits = np.unpackbits(np.frombuffer(base64.b64decode(text[domain], validate=True), np.uint8))
        except (TypeError, binascii.Error) as error:
            raise ValueError(f"the redrawn images of {domain} are not in base64") from error
        if not 0 <= len(bits) - len(source) < 8:
            raise ValueError(f"the redrawn images of {domain} are {len(bits)} bits, for {len(source)} images")
        found[domain] = bits[: len(source)].astype(bool)
    return found

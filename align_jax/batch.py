"""A batch, and the quantities that every forward pass reads from it."""

from functools import cached_property
from typing import Any

from jaxtyping import Array, Float, Int

Batch = dict[str, Any]
Image = Float[Array, "b h w c"]

NO_DOMAINS = "the batch has no 'domain': put each example's domain number there"
NO_GROUPS = "the batch has no 'class_group': put the number of each example's (class, group) there"


class BatchForward:
    """What forward passes read from their batch, and the names of the quantities that a term may ask for."""

    batch: Batch

    def names(self) -> frozenset[str]:
        """The quantities that a term may ask for; an underscore marks intermediate results, which are private."""
        return frozenset(
            name
            for cls in type(self).__mro__
            for name, value in vars(cls).items()
            if isinstance(value, cached_property) and name[0] != "_" and name not in self.unavailable()
        )

    def unavailable(self) -> dict[str, str]:
        """The quantities that this batch or step does not provide, each with the reason."""
        reasons = {"domain": NO_DOMAINS, "class_group": NO_GROUPS}
        return {name: reason for name, reason in reasons.items() if name not in self.batch}

    @cached_property
    def image(self) -> Image:
        """x, normalised."""
        return self.batch["image"]

    @cached_property
    def label(self) -> Int[Array, " b"]:
        """y, in 0 ... k - 1; what is computed from another label is NaN (see `labels`)."""
        return self.batch["label"]

    @cached_property
    def domain(self) -> Int[Array, " b"]:
        """The domain of each example, if the batch has it."""
        return self.batch["domain"]

    @cached_property
    def class_group(self) -> Int[Array, " b"]:
        """The number of each example's pair of class and group, if the batch has it."""
        return self.batch["class_group"]

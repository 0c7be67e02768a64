"""What happens to images and folders that cannot be used as they are: refused, left out, or kept; and said."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from align_jax.data.preparing.image_folders import Counts, DomainImages
from align_jax.data.preparing.what_is_there import counted
from align_jax.errors import UserError, listed
from align_jax.runtime.terminal import say

# How many images, groups, classes or folders a message names.
SHOWN = 5

OnBadImage = Literal["error", "skip"]
OnDuplicate = Literal["keep", "drop", "error"]


class Policy(NamedTuple):
    """What happens to images that cannot be read, and to images that are in several domains.

    Attributes:
      on_bad_image: "error" refuses the data set; "skip" leaves bad images out, and folders with no image of a
        class.
      most_skipped: the largest fraction of all images that may be left out, those in such folders included.
      on_duplicate: of images that are in several domains "keep" keeps all, "drop" those of the first domain alone;
        "error" refuses the data set.
    """

    on_bad_image: OnBadImage
    most_skipped: float
    on_duplicate: OnDuplicate

    def apply_to_folders(self, images: DomainImages) -> None:
        """Prints which folders of a domain or a class have no image, or refuses the data set with a UserError."""
        if not images.without_images:
            return
        text = f"no image of a class: {listed(images.without_images, SHOWN)}"
        if self.on_bad_image == "error":
            raise UserError(
                f"{images.source} has folders with {text}; put images there, move the folders elsewhere, or leave them "
                "out with on_bad_image=skip."
            )
        self._check_share(images.lost, len(images.images) + images.lost, f"{images.source} has folders with {text}")
        say(f"Left out folders with {text}.")

    def _check_share(self, left_out: int, total: int, text: str) -> None:
        if left_out > self.most_skipped * total:
            raise UserError(
                f"{text}: of {total:,} images {left_out:,} would be left out, more than "
                f"most_skipped={self.most_skipped:g} allows; get a better copy, or raise the limit."
            )

    def apply_to_bad(self, name: str, bad: Mapping[str, str], images: DomainImages) -> None:
        """Prints which of the images are left out, or refuses the data set with a UserError."""
        if not bad:
            return
        total = len(images.images)
        these = f"{len(bad):,} of {total:,} images of {name}"
        shown = listed([f"{image} ({why})" for image, why in bad.items()], SHOWN)
        if self.on_bad_image == "error":
            remedy = "replace or remove them, or leave them out with on_bad_image=skip"
            raise UserError(f"{these} cannot be read: {shown}; {remedy}.")
        self._check_share(len(bad) + images.lost, total + images.lost, f"{these} cannot be read: {shown}")
        say(f"Left out {these} that cannot be read: {shown}.")

    def apply_to_shared(self, name: str, shared: Sequence[Sequence[str]]) -> None:
        """Prints how many images are in several domains, or refuses the data set with a UserError.

        Args:
          name: the data set's.
          shared: the ids of the identical files of several domains, in groups.
        """
        if not shared:
            return
        files = counted(len(shared), "identical file")
        text = f"{sum(map(len, shared)):,} images of {name} are in several domains ({files})"
        groups = listed([" = ".join(group[:3]) for group in shared], SHOWN)
        if self.on_duplicate == "error":
            raise UserError(
                f"{text}: {groups}; remove them, or set on_duplicate=drop to leave out all but those of the first "
                "domain, or keep; a prepared data set's metadata.json lists them all."
            )
        consequence = (
            "a test on one domain then sees images of the others' training (set on_duplicate=drop or error)"
            if self.on_duplicate == "keep"
            else "those of the first domain are kept, the others left out"
        )
        say(f"{text}; {consequence}; metadata.json lists them all: {groups}.")


def unusual_counts(before: Counts, counts: Counts) -> list[str]:
    """Sentences about classes of few images: in one of several domains alone, or fewer than there are domains.

    Args:
      before: the images that were found, by domain and class.
      counts: those of them that are kept.
    """
    totals = {name: sum(of_classes[name] for of_classes in counts.values()) for name in next(iter(counts.values()))}
    where = {name: [domain for domain in counts if counts[domain][name]] for name in totals}
    emptied = [f"{d}/{name}" for d in counts for name in totals if before[d][name] and not counts[d][name]]
    alone = [f"{name} ({where[name][0]})" for name in totals if len(counts) > 1 and len(where[name]) == 1]
    few = [f"{name} ({total:,})" for name, total in totals.items() if 0 < total < len(counts)]
    named = {
        "Of these folders no image is left": emptied,
        "Classes that are in one domain only": alone,
        "Classes with fewer images than there are domains": few,
    }
    return [f"{sentence}: {listed(names, SHOWN)}." for sentence, names in named.items() if names]

"""`launch/explain.py`: what a trained run sees in images.

With images and no further flag, their predictions, learned masks and Grad-CAMs. With --methods, --metrics, --masks,
--labels, --beside or a setting of `config.explain`, or without an image, several methods and how good their maps are:
of the images, or of the run's own tests.
"""

from collections.abc import Sequence
from pathlib import Path

import ml_collections
from absl import flags

from align_jax.cli.arguments import parse_flags, split_compilation_cache
from align_jax.cli.exit_status import exit_status
from align_jax.cli.named_run import load_named_run, load_with_notes
from align_jax.cli.overrides import check_groups, check_overrides, split_overrides, with_overrides
from align_jax.errors import UserError, one_line
from align_jax.runtime.paths import local_path
from align_jax.runtime.terminal import show

USAGE = (
    "python launch/explain.py --workdir=DIR [--step=N] [--out=DIR] [--methods=A,B] [--metrics=A,B] [--masks=FOLDER] "
    "[--labels=folders] [--beside=DIR,DIR] [--config.explain.FIELD=VALUE ...] [--compilation_cache=DIR|off] "
    "[IMAGE_OR_FOLDER...]"
)
# With one of these, with a setting, or without an image, the page is that of methods and metrics.
METHOD_FLAGS = ("methods", "metrics", "masks", "labels", "beside")
# What --masks adds where no metric reads them.
WITH_MASKS = "energy_inside"


def main(arguments: Sequence[str]) -> int:
    """Runs `launch/explain.py` and returns its exit status: 0, 2 for a user's mistake, 130 when interrupted."""

    def run() -> None:
        cache, given = split_compilation_cache(arguments)
        overrides, others = split_overrides(given)
        values, images = parse_flags(
            others,
            USAGE,
            strings=("methods", "metrics", "labels", "beside"),
            paths=("workdir", "out", "masks"),
            integers=("step",),
            positional=True,
        )
        from align_jax.runtime.compilation_cache import use_compilation_cache

        use_compilation_cache(cache)
        if not images or overrides or any(values[name].value is not None for name in METHOD_FLAGS):
            _explain_methods(values, overrides, images)
        else:
            _explain_images(values, images)

    return exit_status(
        run,
        on_os_error="can --out be written, and is there room?",
        on_interrupt="what was written is whole; the same command begins again.",
    )


def _explain_images(values: flags.FlagValues, images: Sequence[str]) -> None:
    """Predictions, masks and Grad-CAMs of the images."""
    from align_jax.inference.explain_images import explain_images

    paths = _paths(images)
    trained = load_named_run(values)
    out = Path(values.out) if values.out is not None else trained.folder / "explanations"
    explanations = explain_images(trained, paths, out, _say)
    show(f"{explanations.explained} explained, {len(explanations.skipped)} skipped.")
    show(f"Page: {one_line(str(explanations.page))}")


def _explain_methods(values: flags.FlagValues, overrides: Sequence[str], images: Sequence[str]) -> None:
    """Methods and metrics: of the images, or of the run's own tests."""
    overrides = _with_flags(values, overrides, bool(images))
    from align_jax.configuration import check, default_config
    from align_jax.runtime.devices import check_accelerator

    check_overrides(default_config(), overrides, ("explain",))
    check(with_overrides(default_config(), overrides))  # before a run is read, which may take long
    check_accelerator()
    from align_jax.inference.explain_methods import check_side_by_side, run_names, with_figure, write_methods_page
    from align_jax.inference.images_to_explain import images_of_tests, own_images

    beside = [local_path(path, "--beside") for path in (values.beside or "").split(",") if path]
    paths = _paths(images)
    trained = load_named_run(values)
    config = with_overrides(trained.config, overrides)
    check_groups(config, ("data", "evaluation", "explain", "masker"))
    settings = config.explain
    runs = [trained, *map(load_with_notes, beside)]
    check_side_by_side(runs, on_tests=not images)
    out = Path(values.out) if values.out is not None else trained.folder / "explanations" / "methods"
    if images:
        masks = Path(values.masks) if values.masks is not None else None
        labels = values.labels is not None
        if settings.target == "label" and not labels:
            raise UserError("config.explain.target is 'label', and your images have none; give --labels=folders.")
        explained = own_images(trained, paths, out, masks=masks, labels=labels, say=_say)
    else:
        _say("No image is given: the run's own tests are explained.")
        explained = images_of_tests(trained, settings.images, _say)
    if explained.has_masks:
        settings = _with_masks(settings) if values.masks is not None else settings
    else:
        asked = any(override.lstrip("-").startswith("config.explain.metrics=") for override in overrides)
        settings = _without_masks(settings, asked, bool(images))
    page = write_methods_page(
        dict(zip(run_names([run.folder for run in runs]), runs, strict=True)),
        with_figure(settings),
        explained,
        out,
        _say,
    )
    skipped = len(explained.skipped)
    show(f"{explained.count - skipped:,} explained, {skipped:,} skipped.")
    show(f"Numbers: {one_line(str(page.with_name('values.csv')))}\nPage: {one_line(str(page))}")


def _with_flags(values: flags.FlagValues, overrides: Sequence[str], has_images: bool) -> list[str]:
    """The overrides, with --methods and --metrics among them; refuses flags that do not go together."""
    if values.labels not in (None, "folders"):
        raise UserError(f"--labels is {values.labels!r}; it must be folders: an image's folder has its class's name.")
    for name in ("masks", "labels"):
        if values[name].value is not None and not has_images:
            raise UserError(f"--{name} is for images of your own, and none is given; write {USAGE}.")
    named = [override.lstrip("-").partition("=")[0] for override in overrides]
    if has_images and "config.explain.images" in named:
        raise UserError("config.explain.images is for the run's own tests; of your own, all images are explained.")
    given = list(overrides)
    for name in ("methods", "metrics"):
        if values[name].value is not None:
            if f"config.explain.{name}" in named:
                raise UserError(f"--{name} and --config.explain.{name} say the same; give one of them.")
            given.append(f"--config.explain.{name}={values[name].value}")
    return given


def _with_masks(settings: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """The settings for images with --masks: with a metric that reads them, if none of the metrics does."""
    from align_jax.explanations.metrics import AGAINST_A_MASK

    if not AGAINST_A_MASK.keys().isdisjoint(settings.metrics):
        return settings
    _say(f"note: none of the metrics reads masks, and {WITH_MASKS} is added for --masks.")
    copy = settings.copy_and_resolve_references()
    copy.metrics = (*settings.metrics, WITH_MASKS)
    return copy


def _without_masks(settings: ml_collections.ConfigDict, asked: bool, has_images: bool) -> ml_collections.ConfigDict:
    """The settings for images without masks: metrics that need them are refused if they were asked for, else left out.

    `asked` says whether the command names the metrics; if not, they are the run's. `has_images` says whether the images
    are the user's.
    """
    from align_jax.explanations.metrics import AGAINST_A_MASK

    needing = [name for name in settings.metrics if name in AGAINST_A_MASK]
    if needing and asked:
        need = "needs" if len(needing) == 1 else "need"
        whose, also = ("your images", "") if has_images else ("the run's tests", "images of your own and ")
        raise UserError(f"{', '.join(needing)} {need} true masks, and {whose} have none; give {also}--masks=FOLDER.")
    if needing:
        are = "is" if len(needing) == 1 else "are"
        _say(f"note: there are no masks, and {', '.join(needing)} of the run's metrics {are} left out.")
    copy = settings.copy_and_resolve_references()
    copy.metrics = tuple(name for name in settings.metrics if name not in AGAINST_A_MASK)
    return copy


def _say(line: str) -> None:
    show(one_line(line))


def _paths(images: Sequence[str]) -> list[Path]:
    return [local_path(image, "IMAGE_OR_FOLDER") for image in images]

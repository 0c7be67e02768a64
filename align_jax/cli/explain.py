"""`launch/explain.py`: predictions, masks and Grad-CAMs of a user's own images; or several methods, with metrics."""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from align_jax.cli.arguments import parse_flags
from align_jax.cli.exit_status import exit_status
from align_jax.cli.named_run import load_named_run
from align_jax.cli.overrides import check_overrides, split_overrides, with_overrides
from align_jax.errors import UserError, one_line
from align_jax.runtime.paths import local_path
from align_jax.runtime.terminal import show

USAGE = (
    "python launch/explain.py --workdir=DIR [--step=N] [--out=DIR] [--methods=A,B] [--metrics=A,B] [--masks=FOLDER] "
    "[--labels=folders] [--beside=DIR,DIR] [--config.explain.FIELD=VALUE ...] [IMAGE_OR_FOLDER...]"
)
# With one of these, the page is that of methods and metrics.
OF_METHODS = ("methods", "metrics", "masks", "labels", "beside")


def main(arguments: Sequence[str]) -> int:
    """Runs `launch/explain.py` and returns its exit status: 0, 2 for a user's mistake, 130 when interrupted."""

    def run() -> None:
        overrides, others = split_overrides(arguments)
        values, images = parse_flags(
            others,
            USAGE,
            strings=("methods", "metrics", "labels", "beside"),
            paths=("workdir", "out", "masks"),
            integers=("step",),
            positional=True,
        )
        if not images or overrides or any(values[name].value is not None for name in OF_METHODS):
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

    trained = load_named_run(values)
    out = Path(values.out) if values.out is not None else trained.folder / "explanations"
    explanations = explain_images(trained, _paths(images), out, lambda line: show(one_line(line)))
    show(f"{explanations.explained} explained, {len(explanations.skipped)} skipped.")
    show(f"Page: {one_line(str(explanations.page))}")


def _explain_methods(values: flags.FlagValues, overrides: Sequence[str], images: Sequence[str]) -> None:
    """Methods and metrics: of the images, or of the run's own tests."""
    from align_jax.configuration import check, default_config

    for name in ("methods", "metrics"):
        if values[name].value is not None:
            overrides = [*overrides, f"--config.explain.{name}={values[name].value}"]
    default = default_config()
    check_overrides(default, overrides, ("explain",))
    check(with_overrides(default, overrides))
    if values.labels not in (None, "folders"):
        raise UserError(f"--labels is {values.labels!r}; it must be folders: an image's folder has its class's name.")
    for name in ("masks", "labels"):
        if values[name].value is not None and not images:
            raise UserError(f"--{name} is for images of your own, and none is given; write {USAGE}.")
    from align_jax.inference.explain_methods import check_side_by_side, with_figure, write_methods_page
    from align_jax.inference.images_to_explain import own_images, test_images
    from align_jax.runs.trained import load_trained

    trained = load_named_run(values)
    beside = [local_path(path, "--beside") for path in (values.beside or "").split(",") if path]
    runs = {str(trained.folder): trained, **{str(path): load_trained(path) for path in beside}}
    check_side_by_side(runs)
    settings = with_figure(with_overrides(trained.config, overrides).explain)
    if settings.target == "label" and images and values.labels is None:
        raise UserError("config.explain.target is 'label', and your images have none; give --labels=folders.")
    out = Path(values.out) if values.out is not None else trained.folder / "explanations"

    def say(line: str) -> None:
        show(one_line(line))

    if images:
        masks = Path(values.masks) if values.masks is not None else None
        labels = values.labels is not None
        explained, skipped = own_images(trained, _paths(images), out, masks=masks, labels=labels, say=say)
    else:
        say("No image is given: the run's own tests are explained.")
        explained, skipped = test_images(trained, settings.images), []
    page = write_methods_page(runs, settings, explained, out, say)
    show(f"{explained.count - len(skipped):,} explained, {len(skipped):,} skipped.")
    show(f"Numbers: {one_line(str(page.with_name('values.csv')))}\nPage: {one_line(str(page))}")


def _paths(images: Sequence[str]) -> list[Path]:
    return [local_path(image, "IMAGE_OR_FOLDER") for image in images]

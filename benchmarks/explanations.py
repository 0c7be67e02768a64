"""What explaining and scoring costs, in forward passes: Grad-CAM and its relatives, and the metrics of faithfulness.

    python -m benchmarks.explanations --peer-python=PYTHON_WITH_TORCH_GRAD-CAM_AND_TORCHCAM

resnet_small at 64 pixels, 32 images. The rows take turns, and each is a median of CPU seconds over the turns, so that
what else runs on the machine matters little. `image by image` is how libraries do it that take one image: the same
altered images, each in a forward pass of its own. With `--peer-python` PyTorch's rows take turns with these, in a
process of their own, on the same network (see torch_explanations.py).
"""

import argparse
import functools
import pathlib
import statistics
import time
from collections.abc import Callable
from typing import Any

from align_jax.runtime.interruption import begin, stop_if_asked, stop_request

if __name__ == "__main__":
    begin()  # before the imports that take seconds

import jax
import jax.numpy as jnp
from jaxtyping import Array

from align_jax import explanations, saliency
from align_jax.cli.exit_status import exit_status
from align_jax.errors import UserError
from align_jax.models.resnet import resnet
from align_jax.networks import classifier_from_linen
from benchmarks.peer import Peer

PEER = pathlib.Path(__file__).parent / "torch_explanations.py"
NETWORK = classifier_from_linen(resnet("resnet_small", 7))
CAMS = (
    saliency.grad_cam,
    saliency.hires_cam,
    saliency.layer_cam,
    saliency.grad_cam_plus_plus,
    saliency.element_wise_cam,
)
ERASER, STEPS = explanations.ERASER, explanations.in_steps(20)
# What each metric asks for: fractions removed, fractions kept, fractions inserted into the blurred image.
METRICS = {
    "comprehensiveness": (ERASER, (), ()),
    "sufficiency": ((), ERASER, ()),
    "deletion AUC": (STEPS, (), ()),
    "insertion AUC": ((), (), STEPS),
    "both AUCs": (STEPS, (), STEPS),
    "all four": (ERASER + STEPS, ERASER, STEPS),
}
# The rows whose sum a row of the peer's is compared with, where they have other names.
OURS = {"deletion and insertion AUC of torchcam, and its Grad-CAM": ("both AUCs", "grad_cam")}


class Programs:
    """Compiled programs of (parameters, image, map), and how many forward passes each is."""

    def __init__(self, images: int, size: int) -> None:
        self.image = jax.random.normal(jax.random.key(0), (images, size, size, 3))
        self.map = jax.random.uniform(jax.random.key(1), (images, size, size))
        self.variables = NETWORK.init(jax.random.key(2), self.image)
        self.forward = jax.jit(_probabilities)
        self.cam = {cam.__name__: jax.jit(functools.partial(_cams, (cam,))) for cam in CAMS}
        self.cams = jax.jit(functools.partial(_cams, CAMS))
        self.metric = {name: jax.jit(functools.partial(_curves, wanted)) for name, wanted in METRICS.items()}

    def passes(self, metric: str) -> int:
        """How often the network is called, counted by calling it."""
        called: list[Any] = []

        def counted(image: Array) -> Array:
            called.append(image.shape)
            return jnp.ones((len(image), 7))

        _perturbed(METRICS[metric], counted, self.image[:1], self.map[:1])
        return len(called)

    def image_by_image(self, metric: str) -> None:
        """Each altered image by itself."""
        for number in range(len(self.image)):
            one = slice(number, number + 1)
            jax.block_until_ready(self.metric[metric](self.variables, self.image[one], self.map[one]))


def _probabilities(variables: Any, image: Array) -> Array:
    return jax.nn.softmax(NETWORK.logits(*variables, image))


def _cams(methods: tuple[Callable[..., Array], ...], variables: Any, image: Array) -> list[Array]:
    def head(features: Array) -> Array:
        return NETWORK.head(variables[0], features)

    cut = saliency.cut(lambda image: NETWORK.features(*variables, image, False, None)[0], head)
    return [method(cut, image) for method in methods]


def _perturbed(
    wanted: tuple[tuple[float, ...], ...], probabilities: Callable[[Array], Array], image: Array, saliency_map: Array
) -> Any:
    removed, kept, inserted = wanted
    alterations = (
        explanations.Alterations("image_mean", removed, kept),
        explanations.Alterations("blur", (), inserted),
    )
    return explanations.perturb_all(probabilities, image, {"": saliency_map}, 0, alterations)


def _curves(wanted: tuple[tuple[float, ...], ...], variables: Any, image: Array, saliency_map: Array) -> Any:
    return _perturbed(wanted, functools.partial(_probabilities, variables), image, saliency_map)


def measure(images: int, size: int, repeats: int, peer: Peer | None) -> None:
    """Prints the table."""
    programs = Programs(images, size)
    arguments = (programs.variables, programs.image)
    rows: dict[str, Callable[[], Any]] = {"forward pass": lambda: programs.forward(*arguments)}
    rows |= {name: functools.partial(program, *arguments) for name, program in programs.cam.items()}
    rows["all five CAMs"] = lambda: programs.cams(*arguments)
    for name, program in programs.metric.items():
        rows[name] = functools.partial(program, *arguments, programs.map)
        rows[f"{name}, image by image"] = functools.partial(programs.image_by_image, name)
    times: dict[str, list[float]] = {name: [] for name in rows}
    of_peer: dict[str, list[float]] = {name: [] for name in (peer.names if peer else [])}
    for turn in range(repeats + 1):
        for name in of_peer:
            assert peer
            stop_if_asked("nothing is left.")
            seconds = peer.seconds(name)
            if turn:
                of_peer[name].append(seconds)
        for name, row in rows.items():
            stop_if_asked("nothing is left.")
            start = time.process_time()
            jax.block_until_ready(row())
            if turn:  # the first compiles
                times[name].append(time.process_time() - start)
    print(f"resnet_small, {size} pixels, {images} images; {jax.devices()[0].device_kind}; {repeats} turns\n")
    print("| | CPU ms, median | forward passes | x these passes |")
    print("|---|---|---|---|")
    for name in rows:
        passes = programs.passes(name.removesuffix(", image by image")) if name.split(",")[0] in METRICS else 1
        ratio = statistics.median(
            row / (passes * one) for row, one in zip(times[name], times["forward pass"], strict=True)
        )
        print(f"| {name} | {1000 * statistics.median(times[name]):.0f} | {passes} | {ratio:.2f} |")
    if of_peer:
        print("\n| PyTorch | CPU ms, median | x align-jax |\n|---|---|---|")
    for name, seconds in of_peer.items():
        ours = zip(*(times[own] for own in OURS.get(name, (name.removesuffix(", image by image"),))), strict=True)
        ratio = statistics.median(theirs / sum(own) for theirs, own in zip(seconds, ours, strict=True))
        print(f"| {name} | {1000 * statistics.median(seconds):.0f} | {ratio:.2f} |")


def main() -> int:
    """See the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--peer-python", help="a Python with torch, grad-cam and torchcam, to compare with")
    arguments = parser.parse_args()

    def run() -> None:
        if min(arguments.repeats, arguments.images, arguments.size) < 1:
            raise UserError("--repeats, --images and --size must be at least 1.")
        peer = None
        if arguments.peer_python:
            flags = (f"--images={arguments.images}", f"--size={arguments.size}")
            peer = Peer(arguments.peer_python, PEER, flags, "torch, grad-cam and torchcam")
        try:
            with stop_request("ending after this row"):
                measure(arguments.images, arguments.size, arguments.repeats, peer)
        finally:
            if peer:
                peer.close()

    return exit_status(run, on_os_error="is there room?", on_interrupt="nothing was written.")


if __name__ == "__main__":
    raise SystemExit(main())

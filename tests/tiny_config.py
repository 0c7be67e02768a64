"""A config file for tests: three domains of coloured squares on noise, made in memory; it trains in seconds.

Its networks are the library's, as small as they can be: a run's time goes into compiling them.
"""

import dataclasses

import numpy as np

from align_jax.configuration import default_config
from align_jax.data import load
from align_jax.data.domains import DomainData, EvaluationSplit
from align_jax.data.protocols import training_and_unseen
from align_jax.models.masker import MASKERS, EncoderDecoder
from align_jax.models.resnet import RESNETS, SMALL
from tests.small_networks import sines

CLASSES = ("red", "green", "blue")
DOMAINS = ("dark", "grey", "bright")


@dataclasses.dataclass(frozen=True)
class Squares:
    """`size` images of one domain; the class is the square's colour, the domain the brightness around it.

    The group is the half of the image that the square begins in.
    """

    domain: int
    seed: int
    size: int

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        index = int(index)
        random = np.random.default_rng([self.seed, self.domain, index])
        image = random.integers(0, 60 + 80 * self.domain, (32, 32, 3), dtype=np.uint8)
        mask = np.zeros((32, 32, 1), np.uint8)
        top, left = random.integers(0, 18, 2)
        mask[top : top + 14, left : left + 14] = 255
        colour = np.eye(3, dtype=np.uint8)[index % 3] * 255
        return {
            "image": np.where(mask > 0, colour, image),
            "mask": mask,
            "label": np.int64(index % 3),
            "domain": np.int64(self.domain),
            "concept": f"concept{index % 6}",
            "group": "left" if left < 9 else "right",
            "id": f"{self.domain}/{self.seed}/{index}",
        }


def load_squares(config):
    """As any data set's loader."""
    training, unseen = training_and_unseen(DOMAINS, config.protocol, config.domain)
    number = DOMAINS.index
    evaluation = [EvaluationSplit(d, "validation", "validation", Squares(number(d), 1, 12)) for d in training]
    evaluation += [EvaluationSplit(d, "test", "id", Squares(number(d), 2, 12)) for d in training]
    evaluation += [EvaluationSplit(d, "test", "ood", Squares(number(d), 2, 12)) for d in unseen]
    train = {d: Squares(number(d), 0, 30) for d in training}
    return DomainData("squares", CLASSES, train, evaluation, has_masks=True)


class TinyMasker(EncoderDecoder):
    """Begins without random draws; as in the library, the last layer's weights are small."""

    def _conv(self, channels, stride=1, dilation=1, kernel_init=None):
        scale = 1.0 if kernel_init is None else 1e-2
        return super()._conv(channels, stride, dilation, lambda *arguments: scale * sines(*arguments))


load.DATASETS["squares"] = load_squares
# One block of four channels.
RESNETS["resnet_tiny"] = SMALL | {"stage_sizes": (1,), "stage_widths": (4,), "stage_strides": (1,)}
MASKERS["tiny"] = MASKERS["encoder_decoder"]._replace(
    module=lambda config, dtype: TinyMasker(tuple(config.widths), dtype)
)


def get_config():
    """Eight steps, three of them warm-up; a checkpoint every other step."""
    config = default_config()
    config.data.name, config.data.domain, config.data.image_size = "squares", "bright", 32
    config.classifier.name = "resnet_tiny"
    config.masker.name, config.masker.widths = "tiny", (4, 8)
    config.optim.lr = 1e-2
    config.schedule.batch_size, config.schedule.length, config.schedule.warmup = 6, 8, 3.0
    config.evaluation.every, config.evaluation.batch_size = 4, 8
    config.explain.images, config.explain.steps = 8, 2
    config.evaluation.gallery_images = 3
    config.checkpoint_every, config.log_every = 2, 2
    config.tensorboard = False
    return config


def four_steps():
    """As above with one step of warm-up; checkpoints, and evaluations that may select them, after two and four."""
    config = get_config()
    config.schedule.length, config.schedule.warmup, config.evaluation.every = 4, 1.0, 2
    return config

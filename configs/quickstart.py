"""ALIGN, and ERM beside it, on the embedded data set: five classes of emoji on photographs, one vendor held out.

make quickstart
python launch/main.py --config=configs/quickstart.py --workdir=runs/quickstart
"""

import ml_collections

from align_jax.configuration import default_config


def get_config() -> ml_collections.ConfigDict:
    """About six epochs of three vendors, at 64 pixels."""
    config = default_config()
    config.compare = ("erm",)

    config.classifier.name = "resnet_small"
    config.optim.lr = 2e-3
    config.masker.widths = (8, 16, 32)
    config.masker_optim.lr = 2e-3

    config.schedule.batch_size = 48
    config.schedule.length = 450
    config.schedule.warmup = 0.4
    config.schedule.warmup_unit = "fraction"

    config.evaluation.every = 90
    config.evaluation.batch_size = 96
    config.evaluation.faithfulness_images = 96
    config.evaluation.insertion_steps = 10
    config.checkpoint_every = 90
    config.log_every = 15
    return config

"""A config file for tests of several processes: twenty rounds of ALIGN with SGD, whose batches eight devices share."""

from tests.tiny_config import get_config as tiny


def get_config():
    """Rounds from the first step; every step has a line of the log, and every other one a checkpoint."""
    config = tiny()
    for optimizer in (config.optim, config.masker_optim):
        # A small rate: BCE is steep near 0 and 1, and multiplies rounding in each step (at 1e-3 to 1e-3 in 20 steps).
        optimizer.name, optimizer.lr = "sgd", 1e-4
    config.schedule.batch_size, config.schedule.length, config.schedule.warmup = 8, 20, 0.0
    # 12 examples in batches of 8: of the last batch, some processes have only padding.
    config.evaluation.every, config.evaluation.batch_size = 10, 8
    config.checkpoint_every, config.log_every = 2, 1
    config.explain.images, config.explain.metrics = 6, ("comprehensiveness",)
    config.evaluation.gallery_images = 3
    return config

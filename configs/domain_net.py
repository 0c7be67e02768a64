"""DomainNet: 345 classes in six styles.

    python launch/main.py --config=configs/domain_net.py --config.data.root=PATH
    python launch/sweep.py --config=configs/domain_net.py:leave_one_out --config.data.root=PATH \
        --workdir=runs/domain_net --methods=align,erm --seeds=0,1,2 \
        --domains=clipart,infograph,painting,quickdraw,real,sketch
    python launch/report.py runs/domain_net

PATH: the folder that holds domain_net (domain_net/clipart/aircraft_carrier/*.jpg ...).
Write the protocol after the file's name: `:in_domain` (one domain), `:single_source` or `:leave_one_out` (the default).
`--config.data.domain` is one of clipart, infograph, painting, quickdraw, real, sketch.

Hardware and time: not yet measured. The paper has no results on this data set.
`align_jax.configuration.benchmark_config` says which settings are the paper's and which are DomainBed's.
"""

import ml_collections

from align_jax.configuration import benchmark_config


def get_config(protocol: str = "leave_one_out") -> ml_collections.ConfigDict:
    """ALIGN with clipart held out by default."""
    config = benchmark_config(protocol, domain="clipart", training_domains=5)
    config.data.name = "domain_folders"
    config.data.folder = "domain_net"
    config.evaluation.every = config.checkpoint_every = 1000  # DomainBed, for this data set alone
    return config

"""Terra Incognita: nine animals, and empty frames, at four camera traps, 24,788 images as published.

    python launch/main.py --config=configs/terra_incognita.py --config.data.root=PATH
    python launch/sweep.py --config=configs/terra_incognita.py:leave_one_out --config.data.root=PATH \
        --workdir=runs/terra_incognita --methods=align,erm --seeds=0,1,2 \
        --domains=location_38,location_43,location_46,location_100
    python launch/report.py runs/terra_incognita

PATH: the folder terra_incognita (DomainBed's layout), the raw release (images and its five JSON files), or an archive.
Write the protocol after the file's name: `:in_domain` (the default, the paper's main table), `:single_source` or
`:leave_one_out`. `--config.data.domain` is one of location_38, location_43, location_46, location_100.

Hardware and time: not yet measured. Published in-domain results on location 38: ERM 77.89, DRE 77.37, ALIGN 83.62 %
(ALIGN, arXiv 2511.06944); leave-one-out, mean over the four domains: ERM 46.1, DRE 53.0 % (DRE, CVPR 2023).
`align_jax.configuration.benchmark_config` says which settings are the paper's and which are DomainBed's.
"""

import ml_collections

from align_jax.configuration import benchmark_config


def get_config(protocol: str = "in_domain") -> ml_collections.ConfigDict:
    """ALIGN on location 38 by default."""
    config = benchmark_config(protocol, domain="location_38", training_domains=3)
    config.data.name = "terra_incognita"
    return config

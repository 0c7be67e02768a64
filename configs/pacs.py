"""PACS: seven classes as photographs, paintings, cartoons and sketches.

    python launch/main.py --config=configs/pacs.py --config.data.root=PATH
    python launch/sweep.py --config=configs/pacs.py:leave_one_out --config.data.root=PATH \
        --workdir=runs/pacs --methods=align,erm --seeds=0,1,2 \
        --domains=art_painting,cartoon,photo,sketch
    python launch/report.py runs/pacs

PATH: the folder that holds PACS (PACS/photo/dog/*.jpg ...).
Write the protocol after the file's name: `:in_domain` (one domain), `:single_source` or `:leave_one_out` (the default).
`--config.data.domain` is one of art_painting, cartoon, photo, sketch.

Hardware and time: not yet measured. The paper has no results on this data set.
`align_jax.configuration.benchmark_config` says which settings are the paper's and which are DomainBed's.
"""

import ml_collections

from align_jax.configuration import benchmark_config


def get_config(protocol: str = "leave_one_out") -> ml_collections.ConfigDict:
    """ALIGN with art_painting held out by default."""
    config = benchmark_config(protocol, domain="art_painting", training_domains=3)
    config.data.name = "domain_folders"
    config.data.folder = "PACS"
    return config

"""Office-Home: sixty-five things of offices and homes in four styles.

    python launch/main.py --config=configs/office_home.py --config.data.root=PATH
    python launch/sweep.py --config=configs/office_home.py:leave_one_out --config.data.root=PATH \
        --workdir=runs/office_home --methods=align,erm --seeds=0,1,2 \
        --domains=Art,Clipart,Product,Real
    python launch/report.py runs/office_home

PATH: the folder that holds office_home (office_home/Art/Alarm_Clock/*.jpg ...). The fourth domain is called
Real, Real World or Real_World, depending on the copy; the error for a wrong name lists the right ones.
Write the protocol after the file's name: `:in_domain` (one domain), `:single_source` or `:leave_one_out` (the default).
`--config.data.domain` is one of Art, Clipart, Product, Real.

Hardware and time: not yet measured. The paper has no results on this data set.
`align_jax.configuration.benchmark_config` says which settings are the paper's and which are DomainBed's.
"""

import ml_collections

from align_jax.configuration import benchmark_config


def get_config(protocol: str = "leave_one_out") -> ml_collections.ConfigDict:
    """ALIGN with Art held out by default."""
    config = benchmark_config(protocol, domain="Art", training_domains=3)
    config.data.name = "domain_folders"
    config.data.folder = "office_home"
    return config

"""VLCS: photographs of five classes from four collections, 10,729 images.

    python launch/main.py --config=configs/vlcs.py --config.data.root=PATH
    python launch/sweep.py --config=configs/vlcs.py:leave_one_out --config.data.root=PATH \
        --workdir=runs/vlcs --methods=align,erm --seeds=0,1,2 \
        --domains=Caltech101,LabelMe,SUN09,VOC2007
    python launch/report.py runs/vlcs

PATH: the folder VLCS (VLCS/Caltech101/bird/*.jpg ...), the folder above it, or an archive of it.
Write the protocol after the file's name: `:in_domain` (the default, the paper's main table), `:single_source` or
`:leave_one_out`. `--config.data.domain` is one of Caltech101, LabelMe, SUN09, VOC2007.

Hardware and time: not yet measured. Published in-domain results on VOC2007: ERM 85.35, DRE 85.61, ALIGN 86.91 % (ALIGN,
arXiv 2511.06944); leave-one-out, mean over the four domains: ERM 77.5, DRE 79.5 % (DRE, CVPR 2023).
`align_jax.configuration.benchmark_config` says which settings are the paper's and which are DomainBed's.
"""

import ml_collections

from align_jax.configuration import benchmark_config


def get_config(protocol: str = "in_domain") -> ml_collections.ConfigDict:
    """ALIGN on VOC2007 by default."""
    config = benchmark_config(protocol, domain="VOC2007", training_domains=3)
    config.data.name = "vlcs"
    return config

"""Reads a prepared data set back, record by record."""

from typing import Any

import tensorflow_datasets as tfds

from align_jax.data import images
from align_jax.data.preparing.builder import in_order
from align_jax.data.preparing.image_folders import Counts
from align_jax.data.preparing.progress_bar import progress_bar
from align_jax.errors import UserError


def verify(builder: tfds.core.DatasetBuilder) -> Counts:
    """Counts the records of each domain and class, after every one was read and decoded.

    Raises:
      UserError: records are missing; or one is damaged, has an unknown label or domain, or an id that comes twice.
    """
    info = builder.info
    domains, classes = info.features["domain"].names, info.features["label"].names
    pictures = [name for name in ("image", "mask") if name in info.features]
    counts: Counts = {domain: dict.fromkeys(classes, 0) for domain in domains}
    remedy = f"delete {builder.data_dir} to prepare anew."
    ids: set[bytes] = set()
    with (
        images.without_pillow_warnings(),
        progress_bar(f"Verifying {info.name}", info.splits.total_num_examples, " images") as bar,
    ):
        for split, split_info in info.splits.items():
            source = builder.as_data_source(split, decoders={name: tfds.decode.SkipDecoding() for name in pictures})
            if len(source) != split_info.num_examples:
                raise UserError(f"{split} has {len(source)} records, not {split_info.num_examples}; {remedy}")

            def read(index: int, source: Any = source) -> tuple[dict[str, Any], str]:
                record = {"id": f"number {index}".encode(), "label": 0, "domain": 0}
                try:
                    record = source[index]
                    sizes = {images.decode(record[name]).shape[:2] for name in pictures}
                # Not only BadImage: a damaged file can raise anything in array_record and TFDS.
                except Exception as error:
                    return record, " ".join(str(error).split())
                return record, "" if len(sizes) == 1 else "its mask has another size"

            for record, fault in in_order(read, range(len(source))):
                if not (0 <= record["label"] < len(classes) and 0 <= record["domain"] < len(domains)):
                    fault = f"label {record['label']}, domain {record['domain']}"
                if record["id"] in ids:
                    fault = "its id comes twice"
                if fault:
                    raise UserError(f"{split}: the record {record['id'].decode()} is bad ({fault}); {remedy}")
                ids.add(record["id"])
                counts[domains[record["domain"]]][classes[record["label"]]] += 1
                bar.update()
    return counts

"""Reads mutated files of one kind, in a process of its own: `python -m tests.storm.read_mutated KIND FOLDER COUNT`.

A reader that crashes ends the process; one that raises anything but a refusal is a traceback. The last line is the
largest memory that was used, in MiB, and how many files were read.
"""

import io
import random
import resource
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import save

from align_jax.data.images import BadImage, decode, decode_mask, storable
from align_jax.data.preparing.archives import extract
from align_jax.errors import UserError
from align_jax.models.pretrained import load_weights
from align_jax.models.torchvision_names import torchvision_name
from align_jax.runs.read import read_run


def scene():
    rows, columns = np.mgrid[0:120, 0:160]
    return np.stack((rows * 2, columns, 128 + 100 * np.sin(rows / 9 + columns / 15)), -1).astype(np.uint8)


def image(form):
    def make():
        file = io.BytesIO()
        Image.fromarray(scene()).save(file, form)
        return file.getvalue()

    return make


def of_content(read):
    return lambda path: read(path.read_bytes())


IMAGE_READERS = tuple(of_content(read) for read in (storable, decode, decode_mask))


def zip_file():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(5):
            archive.writestr(f"data/dog/{number}.jpg", scene().tobytes())
    return file.getvalue()


def tar_file(mode):
    def make():
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode=mode) as archive:
            for number in range(5):
                info = tarfile.TarInfo(f"data/dog/{number}.jpg")
                info.size = scene().nbytes
                archive.addfile(info, io.BytesIO(scene().tobytes()))
        return file.getvalue()

    return make


def read_archive(path):
    """Unpacks, and removes only what must have been written; whoever looks afterwards sees what lies elsewhere."""
    shutil.rmtree(extract(path, path.parent / "unpacked"))


def network():
    from tests.models.test_pretrained import initial

    return initial("resnet_small")


def tensors():
    import jax

    params, statistics = network()
    leaves = jax.tree.leaves_with_path(params) + jax.tree.leaves_with_path(statistics)
    named = {torchvision_name(path): np.asarray(leaf) for path, leaf in leaves}
    return save(named, metadata={"format": "pt"})


def read_tensors(path):
    load_weights(path, *network())


def summary():
    return (Path(sys.argv[4]) / "summary.json").read_bytes()


def read_summary(path):
    read_run(path.parent)


# By kind: the file's name, what makes a whole one, and what reads it.
KINDS: dict[str, tuple] = {
    "jpeg": ("a.jpg", image("JPEG"), IMAGE_READERS),
    "png": ("a.png", image("PNG"), IMAGE_READERS),
    "webp": ("a.webp", image("WEBP"), IMAGE_READERS),
    "zip": ("a.zip", zip_file, (read_archive,)),
    "tar": ("a.tar", tar_file("w"), (read_archive,)),
    "tgz": ("a.tar.gz", tar_file("w:gz"), (read_archive,)),
    "safetensors": ("a.safetensors", tensors, (read_tensors,)),
    "json": ("summary.json", summary, (read_summary,)),
}


def mutated(content, draw):
    """One change or a few: bits, bytes, cuts, repeats, and numbers of the largest and the smallest size."""
    content = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 4, 8))):
        place = draw.randrange(max(1, min(len(content), draw.choice((64, 512, 10**9)))))
        match draw.randrange(7):
            case 0:
                content[place : place + 1] = bytes([content[place] ^ (1 << draw.randrange(8))] if content else [])
            case 1:
                content[place : place + 4] = draw.randbytes(4)
            case 2:
                content[place : place + 4] = draw.choice((b"\xff" * 4, b"\x7f\xff\xff\xff", bytes(4), b"\0\0\0\x80"))
            case 3:
                del content[place:]
            case 4:
                del content[place : place + draw.randint(1, 64)]
            case 5:
                content[place:place] = content[: draw.randint(1, 64)]
            case 6:
                content[place:place] = draw.choice((b"../", b"\0", b"NaN", b"[" * 5000, b"9" * 5000, b'"\\ud800"'))
    return bytes(content)


def is_read(path, read):
    """Whether the file is read; it is refused in one sentence if not."""
    try:
        read(path)
    except (UserError, BadImage) as refusal:
        if "\n" in str(refusal):
            raise
        return False
    return True


def main():
    kind, folder, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    name, make, readers = KINDS[kind]
    whole, draw, reads = make(), random.Random(kind), 0
    path = folder / name
    for _ in range(count):
        path.write_bytes(mutated(whole, draw))
        outcomes = [is_read(path, read) for read in readers]  # each reader meets every file
        reads += all(outcomes)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, reads)


if __name__ == "__main__":
    main()

"""The PyTorch side of benchmarks/input_pipeline.py, which runs it. Needs torch, torchvision and Pillow, not align_jax.

    python benchmarks/torch_input_pipeline.py FOLDER --images=1920 --workers=2

Reads the JPEG files in FOLDER with Pillow, transforms them by DomainBed's recipe in a DataLoader, and prints images per
second as JSON.
"""

import argparse
import json
import time
from pathlib import Path

import torch
import torchvision
from PIL import Image
from torchvision import transforms


class Images(torch.utils.data.Dataset):
    """JPEG files, read and transformed on access."""

    def __init__(self, folder, size):
        self.paths = sorted(folder.glob("*.jpg"))
        self.transform = transforms.Compose(
            [
                transforms.RandomResizedCrop(size, scale=(0.7, 1.0)),
                transforms.RandomHorizontalFlip(),
                transforms.ColorJitter(0.3, 0.3, 0.3, 0.3),
                transforms.RandomGrayscale(),
                transforms.ToTensor(),
                transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
            ]
        )

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        with self.paths[index].open("rb") as file:
            return self.transform(Image.open(file).convert("RGB")), 0


def main():
    """See the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=1920)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    images = Images(arguments.folder, arguments.size)
    batches = arguments.images // arguments.batch_size
    warm_up = 4 * arguments.workers
    drawn = torch.utils.data.RandomSampler(images, num_samples=(warm_up + batches) * arguments.batch_size)
    loader = iter(
        torch.utils.data.DataLoader(
            images, arguments.batch_size, sampler=drawn, num_workers=arguments.workers, drop_last=True
        )
    )
    for _ in range(warm_up):
        next(loader)
    start = time.perf_counter()
    for _ in range(batches):
        next(loader)
    images_per_s = batches * arguments.batch_size / (time.perf_counter() - start)
    print(json.dumps({"images_per_s": images_per_s, "versions": f"{torch.__version__}, {torchvision.__version__}"}))


if __name__ == "__main__":
    main()

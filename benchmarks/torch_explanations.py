"""The PyTorch side of benchmarks/explanations.py, which runs it. Needs torch, grad-cam and torchcam, not align_jax.

    python benchmarks/torch_explanations.py --images=32 --size=64

It reads the name of a row on each line of its input, runs that row once, and answers with the CPU seconds that it took.
The network is resnet_small, with random weights. `image by image` takes each altered image through the network by
itself, as libraries do that score one image at a time.
"""

import argparse
import math
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

ERASER = (0.01, 0.05, 0.1, 0.2, 0.5)
STEPS = tuple(step / 20 for step in range(21))


class Block(nn.Module):
    """Two convolutions and what they are added to."""

    def __init__(self, inside, outside, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(outside), nn.BatchNorm2d(outside)
        same = inside == outside and stride == 1
        self.downsample = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))
        )

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x))


def small_network(classes):
    """resnet_small of align_jax/models/resnet.py; its last map is the output of `[-4]`."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 4, 4, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        Block(32, 32, 1),
        Block(32, 64, 2),
        Block(64, 64, 1),
        Block(64, 128, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(128, classes),
    ).eval()


def blurred(image):
    """A Gaussian blur with a standard deviation of an eighth of the side."""
    sigma = image.shape[-1] / 8
    radius = min(int(4 * sigma + 0.5), image.shape[-1] - 1)
    offset = torch.arange(-radius, radius + 1)
    weight = torch.exp(-0.5 * (offset / sigma) ** 2)
    weight = (weight / weight.sum()).reshape(1, 1, -1)
    for axis in (2, 3):
        moved = image.movedim(axis, -1)
        padded = F.pad(moved.reshape(-1, 1, moved.shape[-1]), (radius, radius), mode="reflect")
        image = F.conv1d(padded, weight).reshape(moved.shape).movedim(-1, axis)
    return image


class Rows:
    """What can be asked for, by name."""

    def __init__(self, images, size):
        from pytorch_grad_cam import GradCAM
        from torchcam.methods import GradCAM as TorchcamGradCAM
        from torchcam.metrics import DeletionInsertionMetric

        torch.manual_seed(0)
        self.network = small_network(7)
        self.image = torch.randn(images, 3, size, size)
        self.map = torch.rand(images, size, size)
        self.cam = GradCAM(self.network, [self.network[6]])
        extractor = TorchcamGradCAM(self.network, self.network[6])
        self.torchcam = DeletionInsertionMetric(extractor, lambda logits: logits.softmax(-1), baseline=blurred)
        self.names = {
            "forward pass": self.forward,
            "grad_cam": self.grad_cam,
            "grad_cam, image by image": self.grad_cam_image_by_image,
            "comprehensiveness, image by image": lambda: self.metric(ERASER, (), ()),
            "sufficiency, image by image": lambda: self.metric((), ERASER, ()),
            "deletion AUC, image by image": lambda: self.metric(STEPS, (), ()),
            "insertion AUC, image by image": lambda: self.metric((), (), STEPS),
            "all four, image by image": lambda: self.metric(ERASER + STEPS, ERASER, STEPS),
            "deletion and insertion AUC of torchcam, and its Grad-CAM": lambda: self.torchcam.update(self.image),
        }

    @torch.no_grad()
    def forward(self):
        self.network(self.image).softmax(-1)

    def grad_cam(self):
        self.cam(self.image, targets=None)

    def grad_cam_image_by_image(self):
        for number in range(len(self.image)):
            self.cam(self.image[number : number + 1], targets=None)

    @torch.no_grad()
    def metric(self, removed, kept, inserted):
        """p of the altered versions of each image; equal versions once."""
        for image, saliency in zip(self.image, self.map, strict=True):
            rank = saliency.flatten().argsort(descending=True, stable=True).argsort().reshape(saliency.shape)
            mean = image.mean((1, 2), keepdim=True).expand_as(image)
            blur = blurred(image[None])[0] if inserted else mean
            pixels = saliency.numel()
            wanted = {(math.ceil(f * pixels), "remove", "mean") for f in removed}
            wanted |= {(math.ceil(f * pixels), "keep", "mean") for f in kept}
            wanted |= {(math.ceil(f * pixels), "keep", "blur") for f in inserted}
            # The image as it is, which every metric needs, has several names.
            clean = {(0, "remove", "mean"), (pixels, "keep", "mean"), (pixels, "keep", "blur")}
            for count, way, fill in (wanted - clean) | {(0, "remove", "mean")}:
                stays = (rank < count) == (way == "keep")
                altered = torch.where(stays, image, mean if fill == "mean" else blur)
                self.network(altered[None]).softmax(-1)


def main():
    """See the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--size", type=int, default=64)
    arguments = parser.parse_args()
    rows = Rows(arguments.images, arguments.size)
    print("\t".join(rows.names), flush=True)
    for line in sys.stdin:
        start = time.process_time()
        rows.names[line.rstrip("\n")]()
        print(time.process_time() - start, flush=True)


if __name__ == "__main__":
    main()

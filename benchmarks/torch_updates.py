"""The PyTorch side of benchmarks/updates.py, which runs it. Needs torch, not align_jax.

    python benchmarks/torch_updates.py --network=resnet18 --size=64 --batch=32 [--compile]

It reads the name of an update on each line of its input, makes that update once, and answers with the seconds that it
took. Networks, losses and weights are those of align_jax's defaults, written as one would in PyTorch, channels last.
"""

import argparse
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

NETWORKS = {
    "resnet_small": ("basic", (1, 2, 1), (32, 64, 128), (1, 2, 1)),
    "resnet18": ("basic", (2, 2, 2, 2), (64, 128, 256, 512), (1, 2, 2, 2)),
    "resnet34": ("basic", (3, 4, 6, 3), (64, 128, 256, 512), (1, 2, 2, 2)),
    "resnet50": ("bottleneck", (3, 4, 6, 3), (64, 128, 256, 512), (1, 2, 2, 2)),
}
CLASSES = 5


def normalised(inside, outside, kernel, stride=1):
    """A convolution without a bias, and BatchNorm."""
    overhang = (kernel - stride + 1) // 2
    return nn.Sequential(nn.Conv2d(inside, outside, kernel, stride, overhang, bias=False), nn.BatchNorm2d(outside))


class Block(nn.Module):
    """Convolutions around a shortcut."""

    def __init__(self, kind, inside, width, stride):
        super().__init__()
        if kind == "basic":
            outside = width
            parts = [normalised(inside, width, 3, stride), nn.ReLU(), normalised(width, width, 3)]
        else:
            outside = 4 * width
            parts = [normalised(inside, width, 1), nn.ReLU(), normalised(width, width, 3, stride), nn.ReLU()]
            parts.append(normalised(width, outside, 1))
        self.path = nn.Sequential(*parts)
        same = stride == 1 and inside == outside
        self.shortcut = nn.Identity() if same else normalised(inside, outside, 1, stride)
        self.outside = outside

    def forward(self, x):
        return F.relu(self.shortcut(x) + self.path(x))


class Network(nn.Module):
    """A classifier, split where Grad-CAM reads."""

    def __init__(self, name):
        super().__init__()
        kind, sizes, widths, strides = NETWORKS[name]
        if name == "resnet_small":
            layers = [normalised(3, widths[0], 4, 4), nn.ReLU()]
        else:
            layers = [normalised(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
        inside = widths[0]
        for size, width, first in zip(sizes, widths, strides, strict=True):
            for number in range(size):
                layers.append(Block(kind, inside, width, 1 if number else first))
                inside = layers[-1].outside
        self.features = nn.Sequential(*layers)
        self.linear = nn.Linear(inside, CLASSES)

    def head(self, features):
        return self.linear(features.mean((2, 3)))


class Masker(nn.Module):
    """align_jax's EncoderDecoder: three halvings, one dilated convolution, two skips, half the image's resolution."""

    def __init__(self, widths=(16, 32, 64)):
        super().__init__()
        first, second, third = widths
        self.encoder = nn.ModuleList(
            nn.Conv2d(inside, outside, 3, 2, 1) for inside, outside in zip((3, first, second), widths, strict=True)
        )
        self.context = nn.Conv2d(third, third, 3, 1, 2, 2)
        self.decoder = nn.ModuleList([nn.Conv2d(third, second, 3, 1, 1), nn.Conv2d(2 * second, first, 3, 1, 1)])
        self.mask = nn.Conv2d(2 * first, 1, 3, 1, 1)

    def forward(self, image):
        x, skips = image, []
        for convolve in self.encoder:
            x = F.relu(convolve(x))
            skips.append(x)
        x = F.relu(self.context(x))
        for convolve, skip in zip(self.decoder, skips[1::-1], strict=True):
            x = torch.cat([upsampled(F.relu(convolve(x)), skip.shape[2:]), skip], 1)
        return torch.sigmoid(upsampled(self.mask(x), image.shape[2:]))


def upsampled(x, size):
    """Bilinear, with pixel centres at half integers."""
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)


def of_label(values, label):
    """Each example's value for its label."""
    return values.gather(1, label[:, None])[:, 0]


class Updates:
    """One update of each kind, on one batch."""

    def __init__(self, name, size, batch, compiled):
        torch.manual_seed(0)
        self.classifier = Network(name).to(memory_format=torch.channels_last)
        self.masker = Masker().to(memory_format=torch.channels_last)
        self.features = torch.compile(self.classifier.features) if compiled else self.classifier.features
        self.mask = torch.compile(self.masker) if compiled else self.masker
        self.image = torch.randn(batch, 3, size, size).contiguous(memory_format=torch.channels_last)
        self.label = torch.arange(batch) % CLASSES
        self.of_classifier = torch.optim.Adam(self.classifier.parameters(), 1e-3)
        self.of_masker = torch.optim.Adam(self.masker.parameters(), 1e-3)
        self.names = {"ERM": self.erm, "DRE": self.dre, "masker": self.of_mask, "ALIGN round": self.round}

    def erm(self):
        self.classifier.train()
        logits = self.classifier.head(self.features(self.image))
        down(self.of_classifier, F.cross_entropy(logits, self.label))

    def dre(self):
        self.of_guided(guided=False)

    def round(self):
        self.of_mask()
        self.of_guided(guided=True)

    def saliency(self, features):
        """Grad-CAM of the label's logit, scaled to [0, 1]; it is differentiated through its channel weights."""
        score = of_label(self.classifier.head(features), self.label).sum()
        (gradient,) = torch.autograd.grad(score, features, create_graph=True)
        raw = (gradient.mean((2, 3), keepdim=True) * features).sum(1)
        low, high = raw.amin((1, 2), keepdim=True), raw.amax((1, 2), keepdim=True)
        return (raw - low) / (high - low + 1e-8)

    def partner(self):
        """A random permutation inside each class."""
        partner = torch.empty_like(self.label)
        for number in range(CLASSES):
            (places,) = torch.nonzero(self.label == number, as_tuple=True)
            partner[places] = places[torch.randperm(len(places))]
        return partner

    def of_guided(self, guided):
        """L_cls + L_reg, with L_egl in the rounds."""
        self.classifier.train()
        features = self.features(self.image)
        saliency = self.saliency(features)
        loss = F.cross_entropy(self.classifier.head(features), self.label)
        partner = self.partner()
        share = torch.distributions.Beta(0.2, 0.2).sample((len(self.label),))
        wide = share[:, None, None, None]
        mixed = self.features(wide * self.image + (1 - wide) * self.image[partner])
        of_mixed = self.saliency(mixed)
        wide = share[:, None, None]
        loss = loss + (of_mixed - (wide * saliency + (1 - wide) * saliency[partner])).abs().mean()
        loss = loss + 0.25 * (saliency.abs().mean() + of_mixed.abs().mean())
        loss = loss + 0.1 * F.cross_entropy(self.classifier.head(mixed), self.label)
        if guided:
            with torch.no_grad():
                mask = F.adaptive_avg_pool2d(self.mask(self.image), saliency.shape[1:])[:, 0]
            loss = loss + F.binary_cross_entropy(saliency.clamp(1e-6, 1 - 1e-6), mask)
        down(self.of_classifier, loss)

    def of_mask(self):
        """L_dist + 1.5 L_sparsity + 0.3 L_smooth; the classifier is frozen."""
        self.classifier.eval().requires_grad_(False)
        mask = self.mask(self.image)
        both = self.features(torch.cat([self.image * mask, self.image * (1 - mask)]))
        probability = of_label(self.classifier.head(both).softmax(1), torch.cat([self.label, self.label]))
        kept, removed = probability.chunk(2)
        down_rows = (mask[:, :, 1:] - mask[:, :, :-1]).abs().mean()
        across = (mask[..., 1:] - mask[..., :-1]).abs().mean()
        loss = ((kept - removed - 1) ** 2).mean() + 1.5 * mask.mean() + 0.3 * (down_rows + across)
        down(self.of_masker, loss)
        self.classifier.requires_grad_(True)


def down(optimizer, loss):
    """A step down the loss."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def main():
    """See the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=NETWORKS, default="resnet18")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--compile", action="store_true")
    arguments = parser.parse_args()
    updates = Updates(arguments.network, arguments.size, arguments.batch, arguments.compile)
    print("\t".join(updates.names), flush=True)
    for line in sys.stdin:
        began = time.perf_counter()
        updates.names[line.rstrip("\n")]()
        print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()

"""ResNet-50, the built-in real model.

After He et al., "Deep Residual Learning for Image Recognition" (arXiv:1512.03385), with the stride
in the 3×3 convolution ("v1.5"). Names and shapes of the state dict are torchvision's, so weights
trained there load here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

EXPANSION = 4
"""A block puts out four times as many channels as its 3×3 convolution has."""
RESIDUAL_SCALE = 0.25
"""Initial weight of each block's last batch norm. Untrained residual blocks at 1 amplify rounding
errors 15 times more: no low precision could be told from a wrong result."""


class Bottleneck(nn.Module):
    """1×1 reduce, 3×3, 1×1 expand, plus the input (projected where its shape differs)."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * EXPANSION
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _projection(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] → [N, 4·width, H/stride, W/stride]."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        shortcut = x if self.downsample is None else self.downsample(x)
        result: Tensor = self.relu(y + shortcut)
        return result


def _projection(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class ResNet(nn.Module):
    """Stem, four stages of bottlenecks, global average pool, classifier."""

    def __init__(self, blocks: tuple[int, int, int, int], num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.layer1 = _stage(64, 64, blocks[0], 1)
        self.layer2 = _stage(256, 128, blocks[1], 2)
        self.layer3 = _stage(512, 256, blocks[2], 2)
        self.layer4 = _stage(1024, 512, blocks[3], 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512 * EXPANSION, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] → logits [N, num_classes]."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits: Tensor = self.fc(torch.flatten(self.avgpool(x), 1))
        return logits


def _stage(inputs: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    rest = [Bottleneck(width * EXPANSION, width, 1) for _ in range(blocks - 1)]
    return nn.Sequential(Bottleneck(inputs, width, stride), *rest)


def _initialise(model: ResNet) -> None:
    """Kaiming as in the paper, then every filter's mean taken out.

    All channels have about the same positive mean after a ReLU. Without training, it would drown
    what differs between images (every image would get the same class); filters of mean zero
    cancel it.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(module, Bottleneck):
            nn.init.constant_(module.bn3.weight, RESIDUAL_SCALE)
    nn.init.normal_(model.fc.weight)
    nn.init.zeros_(model.fc.bias)
    with torch.no_grad():
        for weight in (p for p in model.parameters() if p.ndim > 1):
            weight.sub_(weight.mean(dim=tuple(range(1, weight.ndim)), keepdim=True))


def resnet50(num_classes: int = 1000) -> nn.Module:
    """ResNet-50 for [N, 3, 224, 224] images: 25,557,032 parameters with 1000 classes.

    Weights are drawn from torch's global generator; random images get different classes.
    """
    model = ResNet((3, 4, 6, 3), num_classes)
    _initialise(model)
    return model

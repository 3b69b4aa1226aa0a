"""The layers of the AVSEC-4 challenge's baseline, written anew. Attribute names are those of its published checkpoints.

Conv-TasNet (Luo and Mesgarani 2019) with a picture: learned filters -> repeats of dilated blocks, each repeat joined by visual features
that a Conv3D + ResNet front-end takes from the talker's face -> a ReLU mask per filter.
Shapes: filters (of the encoder), steps (of the encoder), features (inside the separator), frames (video), visual (features a frame).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

PICTURE_MEAN, PICTURE_DEVIATION = 0.4161, 0.1688
"""Of grey pixels in 0 to 1; the front-end was trained with them."""
STEPS_PER_FRAME = 32
"""Encoder steps a video frame lasts: 800 steps a second over 25 frames a second."""


class Separator(nn.Module):
    """From encoder output and visual features to the mask before its ReLU, for each audio channel."""

    def __init__(self, filters: int, features: int, hidden: int, kernel: int, blocks: int, repeats: int, visual: int, audio_channels: int):
        super().__init__()
        self.audio_channels = audio_channels
        self.layer_norm = nn.LayerNorm(filters)
        self.bottleneck_conv1x1 = nn.Conv1d(filters, features, 1, bias=False)
        self.tcn = nn.ModuleList(_repeat(features, hidden, kernel, blocks) for _ in range(repeats))
        self.visual_conv = nn.Sequential(*(VisualBlock(visual) for _ in range(5)))
        self.ve_conv1x1 = nn.ModuleList(nn.Conv1d(visual, features, 1, bias=False) for _ in range(repeats))
        self.mask_conv1x1 = nn.Conv1d(features, filters * audio_channels, 1, bias=False)

    def forward(
        self, heard: Float[Tensor, "batch filters steps"], seen: Float[Tensor, "batch frames visual"]
    ) -> Float[Tensor, "batch channels_filters steps"]:
        seen = self.visual_conv(seen.mT)
        state = self.bottleneck_conv1x1(self.layer_norm(heard.mT).mT)
        for look, repeat in zip(self.ve_conv1x1, self.tcn, strict=True):
            frames = F.interpolate(look(seen), scale_factor=STEPS_PER_FRAME, mode="linear")
            # A negative pad cuts: sound and picture may differ in length by a little.
            frames = F.pad(frames, (0, state.shape[2] - frames.shape[2]))
            state = repeat(torch.cat([state, frames], dim=1))
        return self.mask_conv1x1(state)


class VisualBlock(nn.Module):
    """A depthwise-separable convolution over the frames, added to its input."""

    def __init__(self, width: int):
        super().__init__()
        over_time = nn.Conv1d(width, width, 3, padding=1, groups=width, bias=False)
        self.net = nn.Sequential(
            nn.ReLU(), nn.BatchNorm1d(width), over_time, nn.PReLU(), nn.BatchNorm1d(width), nn.Conv1d(width, width, 1, bias=False)
        )

    def forward(self, seen: Float[Tensor, "batch visual frames"]) -> Float[Tensor, "batch visual frames"]:
        return seen + self.net(seen)


class DilatedBlock(nn.Module):
    """1x1 up, depthwise dilated convolution, 1x1 down; added to its input."""

    def __init__(self, features: int, hidden: int, kernel: int, dilation: int):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv1d(features, hidden, 1, bias=False), nn.PReLU(), GlobalLayerNorm(hidden), _Depthwise(features, hidden, kernel, dilation)
        )

    def forward(self, state: Float[Tensor, "batch features steps"]) -> Float[Tensor, "batch features steps"]:
        return state + self.net(state)


class _Depthwise(nn.Module):
    def __init__(self, features: int, hidden: int, kernel: int, dilation: int):
        super().__init__()
        padding = (kernel - 1) * dilation // 2
        over_time = nn.Conv1d(hidden, hidden, kernel, padding=padding, dilation=dilation, groups=hidden, bias=False)
        self.net = nn.Sequential(over_time, nn.PReLU(), GlobalLayerNorm(hidden), nn.Conv1d(hidden, features, 1, bias=False))

    def forward(self, state: Float[Tensor, "batch hidden steps"]) -> Float[Tensor, "batch features steps"]:
        return self.net(state)


class GlobalLayerNorm(nn.Module):
    """Normalises over features and time together, with a gain and an offset a feature."""

    def __init__(self, features: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(1, features, 1))
        self.beta = nn.Parameter(torch.zeros(1, features, 1))

    def forward(self, state: Float[Tensor, "batch features steps"]) -> Float[Tensor, "batch features steps"]:
        variance, mean = torch.var_mean(state, dim=(1, 2), keepdim=True, correction=0)
        return self.gamma * (state - mean) * torch.rsqrt(variance + 1e-8) + self.beta


class VisualFrontend(nn.Module):
    """A convolution over frames and picture, then a small ResNet a frame: pixels in 0 to 1 to 8 x channels features."""

    def __init__(self, channels: int):
        super().__init__()
        self.frontend3D = nn.Sequential(
            nn.Conv3d(1, channels, (5, 7, 7), stride=(1, 2, 2), padding=(2, 3, 3), bias=False),
            nn.BatchNorm3d(channels, momentum=0.01, eps=0.001),
            nn.ReLU(),
            nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
        )
        self.resnet = ResNet(channels)

    def forward(self, pictures: Float[Tensor, "batch frames height width"]) -> Float[Tensor, "batch frames visual"]:
        moving = self.frontend3D((pictures[:, None] - PICTURE_MEAN) / PICTURE_DEVIATION)
        features = self.resnet(moving.transpose(1, 2).flatten(0, 1))
        return features.unflatten(0, pictures.shape[:2])


class ResNet(nn.Module):
    """Four layers, each of twice the channels and half the side; the mean over what is left of the picture."""

    def __init__(self, channels: int):
        super().__init__()
        self.layer1 = ResNetLayer(channels, channels, stride=1)
        self.layer2 = ResNetLayer(channels, 2 * channels, stride=2)
        self.layer3 = ResNetLayer(2 * channels, 4 * channels, stride=2)
        self.layer4 = ResNetLayer(4 * channels, 8 * channels, stride=2)

    def forward(self, pictures: Float[Tensor, "pictures channels height width"]) -> Float[Tensor, "pictures visual"]:
        return self.layer4(self.layer3(self.layer2(self.layer1(pictures)))).mean(dim=(2, 3))


class ResNetLayer(nn.Module):
    """Two residual blocks, a and b. The projection of the first layer exists in the checkpoints, but a stride of 1 does not use it."""

    def __init__(self, channels_in: int, channels_out: int, stride: int):
        super().__init__()
        self.stride = stride
        self.conv1a = _conv3x3(channels_in, channels_out, stride)
        self.bn1a = _norm(channels_out)
        self.conv2a = _conv3x3(channels_out, channels_out)
        self.downsample = nn.Conv2d(channels_in, channels_out, 1, stride=stride, bias=False)
        self.outbna = _norm(channels_out)
        self.conv1b = _conv3x3(channels_out, channels_out)
        self.bn1b = _norm(channels_out)
        self.conv2b = _conv3x3(channels_out, channels_out)
        self.outbnb = _norm(channels_out)

    def forward(
        self, pictures: Float[Tensor, "pictures channels height width"]
    ) -> Float[Tensor, "pictures channels_out height_out width_out"]:
        shortcut = pictures if self.stride == 1 else self.downsample(pictures)
        middle = shortcut + self.conv2a(F.relu(self.bn1a(self.conv1a(pictures))))
        refined = self.conv2b(F.relu(self.bn1b(self.conv1b(F.relu(self.outbna(middle))))))
        return F.relu(self.outbnb(middle + refined))


def _repeat(features: int, hidden: int, kernel: int, blocks: int) -> nn.Sequential:
    join = nn.Conv1d(2 * features, features, 1, bias=False)
    return nn.Sequential(join, *(DilatedBlock(features, hidden, kernel, 2**block) for block in range(blocks)))


def _conv3x3(channels_in: int, channels_out: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, momentum=0.01, eps=0.001)

"""Convolutional networks for images, and a random-shift augmentation.

Images come as `[B, L, ...]` with pixels in [0, 255], channels first or last, and leave as
`[B, L, features]`, or as the last feature map.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amago.core.config import configurable
from amago.core.errors import ConfigError
from amago.nets.utils import activation_switch

__all__ = [
    "CNN",
    "DrQCNN",
    "DrQv2Aug",
    "GridworldCNN",
    "IMPALAishCNN",
    "NatureishCNN",
    "weight_init",
]


def weight_init(m: nn.Module) -> None:
    """Orthogonal weights and zero biases, for linear and convolutional layers.

    Source: DrQ-v2 (Yarats et al. 2021), appendix B; gain of a ReLU for convolutions.
    """
    if isinstance(m, nn.Linear):
        nn.init.orthogonal_(m.weight)
    elif isinstance(m, nn.Conv2d):
        nn.init.orthogonal_(m.weight, gain=nn.init.calculate_gain("relu"))
    else:
        return
    if m.bias is not None:
        nn.init.zeros_(m.bias)


class DrQv2Aug(nn.Module):
    """Shift every sequence of images by its own random offset, repeating pixels at the border.

    All images of a sequence move together, so that motion between them is kept.

    Args:
        pad: largest shift in pixels, in each direction.

    Source: DrQ-v2 (Yarats et al. 2021), section 3.1. Differs: whole pixels.
    """

    def __init__(self, pad: int, channels_first: bool) -> None:
        super().__init__()
        self.pad = pad
        self.channels_first = channels_first

    def forward(self, imgs: Tensor) -> Tensor:
        """`imgs` `[B, L, C, H, W]` (or `[B, L, H, W, C]`), same shape and type out."""
        if not self.channels_first:
            return self._shift(imgs.movedim(-1, 2)).movedim(2, -1)
        return self._shift(imgs)

    def _shift(self, imgs: Tensor) -> Tensor:
        B, _, _, H, W = imgs.shape
        rows = self._shifted_index(B, H, imgs.device)[:, :, None]  # [B H 1]
        columns = self._shifted_index(B, W, imgs.device)[:, None, :]  # [B 1 W]
        sequence = torch.arange(B, device=imgs.device)[:, None, None]
        return imgs.permute(0, 3, 4, 1, 2)[sequence, rows, columns].permute(0, 3, 4, 1, 2)

    def _shifted_index(self, batch: int, size: int, device: torch.device) -> Tensor:
        shift = torch.randint(-self.pad, self.pad + 1, (batch, 1), device=device)
        # Clamping the index is the same as padding with the border and cropping.
        return (torch.arange(size, device=device) + shift).clamp(0, size - 1)


class CNN(nn.Module, ABC):
    """Images in, features out. To write one, define the layers and `conv_forward`.

    Args:
        img_shape: shape of one image, `(C, H, W)` or `(H, W, C)`.
        channels_first: which of the two.
        activation: see `utils.activation_switch`.
    """

    def __init__(self, img_shape: Sequence[int], channels_first: bool, activation: str) -> None:
        super().__init__()
        self.img_shape = tuple(img_shape)
        self.channels_first = channels_first
        self.activation = activation_switch(activation)

    @property
    def in_channels(self) -> int:
        """Channels of an image."""
        return self.img_shape[0 if self.channels_first else -1]

    @property
    def blank_img(self) -> Tensor:
        """One black image as a batch of one sequence of one timestep, to find output sizes."""
        return torch.zeros(1, 1, *self.img_shape, dtype=torch.uint8)

    @abstractmethod
    def conv_forward(self, imgs: Tensor) -> Tensor:
        """Feature maps `[N, C', H', W']` of images `[N, C, H, W]` with values around 0."""

    def forward(self, obs: Tensor, from_float: bool = False, flatten: bool = True) -> Tensor:
        """Features of every image.

        Args:
            obs: `[B, L, C, H, W]` (or `[B, L, H, W, C]`), pixels in [0, 255].
            from_float: `obs` is scaled already, and used as it is.
            flatten: one vector an image, in channel, row, column order; otherwise feature maps.

        Returns:
            `[B, L, C' * H' * W']`, or `[B, L, C', H', W']`.
        """
        B, L = obs.shape[:2]
        imgs = obs.flatten(0, 1)
        if not self.channels_first:
            imgs = imgs.movedim(-1, 1)
        imgs = imgs.float().contiguous()
        if not from_float:
            imgs = imgs / 128.0 - 1.0
        features = self.conv_forward(imgs)
        if flatten:
            features = features.flatten(1)
        return features.unflatten(0, (B, L))


class _ThreeConvolutions(CNN):
    """`conv1`, `conv2`, `conv3`, each followed by the activation."""

    def __init__(
        self,
        img_shape: Sequence[int],
        channels_first: bool,
        activation: str,
        channels: Sequence[int],
        kernels: Sequence[int],
        strides: Sequence[int],
    ) -> None:
        super().__init__(img_shape, channels_first=channels_first, activation=activation)
        if not len(channels) == len(kernels) == len(strides) == 3:
            raise ConfigError(
                f"{type(self).__name__} has three convolutions: give three channels, kernels and "
                f"strides (got {channels}, {kernels}, {strides})."
            )
        sizes = [self.in_channels, *channels]
        convolutions = [
            nn.Conv2d(sizes[i], sizes[i + 1], kernel_size=kernels[i], stride=strides[i])
            for i in range(3)
        ]
        self.conv1, self.conv2, self.conv3 = convolutions
        self.apply(weight_init)

    def conv_forward(self, imgs: Tensor) -> Tensor:
        x = self.activation(self.conv1(imgs))
        x = self.activation(self.conv2(x))
        return self.activation(self.conv3(x))


@configurable(module="amago.nets.cnn")
class NatureishCNN(_ThreeConvolutions):
    """The DQN network's convolutions. Source: Mnih et al. (2015)."""

    def __init__(
        self,
        img_shape: tuple[int, ...],
        channels_first: bool,
        activation: str,
        channels: Sequence[int] = (32, 64, 64),
        kernels: Sequence[int] = (8, 4, 3),
        strides: Sequence[int] = (4, 2, 1),
    ) -> None:
        super().__init__(img_shape, channels_first, activation, channels, kernels, strides)


@configurable(module="amago.nets.cnn")
class GridworldCNN(_ThreeConvolutions):
    """Small kernels, for images where every pixel is a cell of a grid."""

    def __init__(
        self,
        img_shape: tuple[int, ...],
        channels_first: bool,
        activation: str,
        channels: Sequence[int] = (16, 32, 48),
        kernels: Sequence[int] = (2, 2, 2),
        strides: Sequence[int] = (1, 1, 1),
    ) -> None:
        super().__init__(img_shape, channels_first, activation, channels, kernels, strides)


class DrQCNN(CNN):
    """Four 3x3 convolutions of 32 channels, the first of stride 2. Source: DrQ-v2."""

    def __init__(self, img_shape: tuple[int, ...], channels_first: bool, activation: str) -> None:
        super().__init__(img_shape, channels_first=channels_first, activation=activation)
        self.conv1 = nn.Conv2d(self.in_channels, 32, kernel_size=3, stride=2)
        self.conv2 = nn.Conv2d(32, 32, kernel_size=3, stride=1)
        self.conv3 = nn.Conv2d(32, 32, kernel_size=3, stride=1)
        self.conv4 = nn.Conv2d(32, 32, kernel_size=3, stride=1)
        self.apply(weight_init)

    def conv_forward(self, imgs: Tensor) -> Tensor:
        x = imgs
        for convolution in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = self.activation(convolution(x))
        return x


class _ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a skip connection, and an optional group normalisation."""

    groups = 4

    def __init__(self, channels: int, activation: str, post_group_norm: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.norm = nn.GroupNorm(self.groups, channels) if post_group_norm else nn.Identity()
        self.activation = activation_switch(activation)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.conv1(self.activation(x))
        hidden = self.conv2(self.activation(hidden))
        return self.norm(x + hidden)


class _IMPALABlock(nn.Module):
    """Convolution, max-pooling by 2, two residual blocks."""

    def __init__(self, d_in: int, d_out: int, activation: str, post_group_norm: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(d_in, d_out, kernel_size=3, padding=1)
        self.residual1 = _ResidualBlock(d_out, activation, post_group_norm)
        self.residual2 = _ResidualBlock(d_out, activation, post_group_norm)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.conv(x), kernel_size=3, stride=2)
        return self.residual2(self.residual1(x))


@configurable(module="amago.nets.cnn")
class IMPALAishCNN(CNN):
    """A residual network of three stages. Source: Espeholt et al. (2018), fig. 3, right.

    Args:
        cnn_block_depths: channels of each stage; a stage halves the image.
        post_group_norm: normalise after every residual block, in groups of channels.

    Raises:
        ConfigError: with `post_group_norm`, depths that are no multiple of the 4 groups.
    """

    def __init__(
        self,
        img_shape: tuple[int, ...],
        channels_first: bool,
        activation: str,
        cnn_block_depths: Sequence[int] = (16, 32, 32),
        post_group_norm: bool = True,
    ) -> None:
        super().__init__(img_shape, channels_first=channels_first, activation=activation)
        if post_group_norm and any(depth % _ResidualBlock.groups for depth in cnn_block_depths):
            raise ConfigError(
                f"post_group_norm needs depths that are multiples of {_ResidualBlock.groups}; "
                f"cnn_block_depths is {tuple(cnn_block_depths)}."
            )
        sizes = [self.in_channels, *cnn_block_depths]
        self.blocks = nn.ModuleList(
            _IMPALABlock(sizes[i], sizes[i + 1], activation, post_group_norm)
            for i in range(len(cnn_block_depths))
        )
        self.apply(weight_init)

    def conv_forward(self, imgs: Tensor) -> Tensor:
        x = imgs
        for block in self.blocks:
            x = block(x)
        return x

"""Image observations: a convolutional network, merged with the previous reward and action."""

import math
from typing import Any

import gymnasium as gym
import torch
from torch import Tensor, nn

from amago.core.config import configurable
from amago.core.errors import ConfigError
from amago.nets import cnn, ff
from amago.nets.tstep_encoders.base import TstepEncoder, register_tstep_encoder
from amago.nets.utils import activation_switch, add_activation_log, symlog


@configurable(module="amago.nets.tstep_encoders")
@register_tstep_encoder("cnn")
class CNNTstepEncoder(TstepEncoder):
    """One image key of the observation through a CNN; `rl2s` through a linear layer; merged.

    Args:
        cnn_type: called with `img_shape=, channels_first=, activation=`.
        img_features: numbers that represent the image before the merge.
        rl2_features: numbers that represent the previous reward and action before the merge.
        d_output: length of the embedding.
        drqv2_aug: shift images by up to 4 pixels in training mode.
        aug_pct_of_batch: share of the batch that is shifted, in [0, 1]: its last sequences.
        obs_key: the observation's key that holds the image.

    Raises:
        ConfigError: no image under `obs_key`, or a share outside [0, 1].
    """

    def __init__(
        self,
        obs_space: gym.Space,
        rl2_space: gym.Space,
        cnn_type: type[cnn.CNN] = cnn.NatureishCNN,
        channels_first: bool = False,
        img_features: int = 256,
        rl2_features: int = 12,
        d_output: int = 256,
        out_norm: str = "layer",
        activation: str = "leaky_relu",
        hide_rl2s: bool = False,
        drqv2_aug: bool = False,
        aug_pct_of_batch: float = 0.75,
        obs_key: str = "observation",
    ) -> None:
        super().__init__(obs_space=obs_space, rl2_space=rl2_space, hide_rl2s=hide_rl2s)
        if not 0.0 <= aug_pct_of_batch <= 1.0:
            raise ConfigError(f"aug_pct_of_batch must be in [0, 1] and is {aug_pct_of_batch}.")
        self.obs_key = obs_key
        self.cnn = cnn_type(
            img_shape=_image_shape(obs_space, obs_key),
            channels_first=channels_first,
            activation=activation,
        )
        self.aug = cnn.DrQv2Aug(pad=4, channels_first=channels_first) if drqv2_aug else None
        self.aug_pct_of_batch = aug_pct_of_batch
        with torch.no_grad():
            flat_features = self.cnn(self.cnn.blank_img).shape[-1]
        self.img_features = nn.Linear(flat_features, img_features)
        self.rl2_features = nn.Linear(math.prod(rl2_space.shape or (1,)), rl2_features)
        self.merge = nn.Linear(img_features + rl2_features, d_output)
        self.activation = activation_switch(activation)
        self.out_norm = ff.Normalization(out_norm, d_output)
        self._emb_dim = d_output

    @property
    def emb_dim(self) -> int:
        return self._emb_dim

    def inner_forward(
        self, obs: dict[str, Tensor], rl2s: Tensor, log_dict: dict[str, Any] | None = None
    ) -> Tensor:
        image = self._augmented(obs[self.obs_key])
        cnn_out = self.cnn(image)
        add_activation_log("cnn_out", cnn_out, log_dict)
        image_features = self.img_features(cnn_out)
        add_activation_log("img_features", image_features, log_dict)
        rl2_features = self.rl2_features(symlog(rl2s))
        both = torch.cat([image_features, rl2_features], dim=-1)
        merged = self.merge(self.activation(both))
        add_activation_log("tstep_encoder_prenorm", merged, log_dict)
        return self.out_norm(merged)

    def _augmented(self, image: Tensor) -> Tensor:
        shifted = int(self.aug_pct_of_batch * image.shape[0])
        if self.aug is None or not self.training or shifted == 0:
            return image
        kept = image.shape[0] - shifted
        return torch.cat([image[:kept], self.aug(image[kept:])], dim=0)


def _image_shape(obs_space: gym.Space, key: str) -> tuple[int, ...]:
    spaces = getattr(obs_space, "spaces", {})
    if key not in spaces:
        raise ConfigError(
            f"no image under obs_key='{key}': the observation has {sorted(spaces)}. "
            f"Bind CNNTstepEncoder.obs_key to one of these."
        )
    shape = spaces[key].shape
    if shape is None or len(shape) != 3:
        raise ConfigError(f"the image under '{key}' must have 3 axes; its shape is {shape}.")
    return shape

import pytest
import torch
from torch.testing import assert_close

from amago.core.config import bind
from amago.core.errors import ConfigError
from amago.nets.cnn import DrQCNN, DrQv2Aug, GridworldCNN, IMPALAishCNN, NatureishCNN


def numbered_images(B: int, L: int, size: int) -> torch.Tensor:
    """One channel, every pixel its own number; all images the same."""
    image = torch.arange(size * size, dtype=torch.uint8).view(1, 1, 1, size, size)
    return image.expand(B, L, 1, size, size)


def test_channels_first_and_last_agree():
    first = GridworldCNN(img_shape=(3, 6, 5), channels_first=True, activation="relu")
    last = GridworldCNN(img_shape=(6, 5, 3), channels_first=False, activation="relu")
    last.load_state_dict(first.state_dict())
    images = torch.randint(0, 256, (2, 3, 3, 6, 5), dtype=torch.uint8)
    assert_close(last(images.movedim(2, -1)), first(images))


def test_pixels_are_scaled_unless_they_are_floats_already():
    network = DrQCNN(img_shape=(1, 17, 17), channels_first=True, activation="relu")
    pixels = torch.randint(0, 256, (1, 1, 1, 17, 17), dtype=torch.uint8)
    assert_close(network(pixels / 128.0 - 1.0, from_float=True), network(pixels))


def test_widths_can_be_bound():
    bind({"NatureishCNN.channels": [4, 5, 6]})
    network = NatureishCNN(img_shape=(36, 36, 3), channels_first=False, activation="relu")
    assert network(network.blank_img, flatten=False).shape[2] == 6


def test_sizes_that_cannot_work_are_refused():
    with pytest.raises(ConfigError, match="three convolutions"):
        GridworldCNN((5, 5, 3), channels_first=False, activation="relu", kernels=(2, 2))
    with pytest.raises(ConfigError, match="multiples of 4"):
        IMPALAishCNN((20, 20, 3), False, "relu", cnn_block_depths=(6, 8))


def test_shifts_repeat_the_border_and_keep_the_type():
    images = numbered_images(B=200, L=2, size=8)
    shifted = DrQv2Aug(pad=2, channels_first=True)(images)
    assert shifted.shape == images.shape
    assert shifted.dtype == torch.uint8
    padded = torch.nn.functional.pad(images[0, :1].float(), (2, 2, 2, 2), mode="replicate")
    crops = padded[0, 0].unfold(0, 8, 1).unfold(1, 8, 1).reshape(25, -1)
    matches = (shifted[:, 0].reshape(200, 1, -1) == crops).all(dim=-1)  # [images crops]
    assert (matches.sum(dim=1) == 1).all()
    assert matches.any(dim=0).all()  # every one of the 5 x 5 shifts occurs


def test_all_images_of_a_sequence_shift_together():
    shifted = DrQv2Aug(pad=4, channels_first=True)(numbered_images(B=5, L=3, size=8))
    assert (shifted == shifted[:, :1]).all()


def test_shifting_works_with_channels_last():
    images = torch.randint(0, 256, (3, 2, 8, 8, 3), dtype=torch.uint8)
    torch.manual_seed(1)
    last = DrQv2Aug(pad=3, channels_first=False)(images)
    torch.manual_seed(1)
    first = DrQv2Aug(pad=3, channels_first=True)(images.movedim(-1, 2))
    assert torch.equal(last.movedim(-1, 2), first)

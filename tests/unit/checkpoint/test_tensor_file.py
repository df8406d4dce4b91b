"""What is written without the library is what the library reads."""

import json

import pytest
import safetensors.torch
import torch

from amago.checkpoint.tensor_file import DTYPE_NAMES, pieces


def content(tensors: dict[str, torch.Tensor]) -> bytes:
    return b"".join(pieces(tensors))


@pytest.mark.parametrize("dtype", DTYPE_NAMES, ids=str)
@pytest.mark.parametrize("shape", [(), (0, 4), (3,), (2, 3)], ids=str)
def test_the_library_reads_every_dtype_and_shape(dtype: torch.dtype, shape: tuple[int, ...]):
    tensor = (torch.rand(shape) * 100).to(dtype)
    (loaded,) = safetensors.torch.load(content({"name": tensor})).values()
    assert (loaded.dtype, loaded.shape) == (tensor.dtype, tensor.shape)
    assert torch.equal(loaded, tensor)


def test_tensors_of_every_width_lie_where_their_width_wants_them():
    tensors = {
        "flag": torch.tensor([True]),
        "half": torch.ones(3, dtype=torch.float16),
        'a "name"\n': torch.arange(2),
        "é": torch.ones(1),
    }
    written = content(tensors)
    length = int.from_bytes(written[:8], "little")
    header = json.loads(written[8 : 8 + length])
    for name, tensor in tensors.items():
        assert (8 + length + header[name]["data_offsets"][0]) % tensor.element_size() == 0
        assert torch.equal(safetensors.torch.load(written)[name], tensor)


def test_no_tensor_is_copied():
    tensor = torch.zeros(4)
    *_, memory = pieces({"name": tensor})
    tensor.fill_(1.0)
    assert bytes(memory) == bytes(tensor.numpy())


def test_a_file_without_tensors_is_one():
    assert safetensors.torch.load(content({})) == {}

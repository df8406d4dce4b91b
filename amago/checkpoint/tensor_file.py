"""Named tensors as the content of a `.safetensors` file, without copying them.

`safetensors.torch.save` copies every tensor twice before a byte is written. The format is simple
enough to be laid out around the tensors where they are: the length of a header (8 bytes, little
endian), the header (JSON: name, dtype, shape, and where the tensor begins and ends), the tensors.
Reading is left to the library, which checks what it reads.
"""

import json
from collections.abc import Mapping

import torch
from torch import Tensor

DTYPE_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint64: "U64",
    torch.uint32: "U32",
    torch.uint16: "U16",
    torch.uint8: "U8",
    torch.bool: "BOOL",
    torch.complex64: "C64",
}
"""What can be stored, and what the format calls it."""

_ALIGNMENT = 8  # bytes; of the first tensor, and so of all: wide ones come first


def pieces(tensors: Mapping[str, Tensor]) -> list[bytes | memoryview]:
    """The content of the file, in pieces. Those of the tensors show their memory.

    Args:
        tensors: on the CPU and contiguous, of a dtype in `DTYPE_NAMES`.
    """
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
    header, offset = {}, 0
    for name, tensor in ordered:
        header[name] = {
            "dtype": DTYPE_NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + tensor.nbytes],
        }
        offset += tensor.nbytes
    text = json.dumps(header).encode("utf-8")
    text += b" " * (-len(text) % _ALIGNMENT)
    return [len(text).to_bytes(8, "little"), text, *(_memory(tensor) for _, tensor in ordered)]


def _memory(tensor: Tensor) -> memoryview:
    return tensor.detach().reshape(-1).view(torch.uint8).numpy().data

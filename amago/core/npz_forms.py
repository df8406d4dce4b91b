"""Small `.npz` files that differ from a parsed one in their data only: no need to parse them again.

Trajectories of one environment and length are such files. What is compared is every byte but data
and checksums, and every checksum is checked: a file that fits is one that the parser would accept,
with its members at the same places.
"""

import struct
import zlib
from dataclasses import dataclass

from amago.core.npz import MemberTable
from amago.core.zip_members import CENTRAL, END, STORED, locate, read_bytes

_LOCAL_CRC = 14  # bytes from the beginning of a member's own header
_CENTRAL_CRC = 16  # bytes from the beginning of its line in the directory
_CENTRAL_LENGTHS = struct.Struct("<3H")  # of name, extra field and comment; 28 bytes from there


@dataclass(frozen=True, slots=True)
class Form:
    """What files of one form have in common.

    Attributes:
        spans: `[start, stop)` of the bytes that are the same in all of them, in order.
        common: those bytes.
        checked: of each member: where its checksum is, and `[start, stop)` of what that is of.
    """

    spans: tuple[tuple[int, int], ...]
    common: bytes
    checked: tuple[tuple[int, int, int], ...]

    def fits(self, content: bytes | memoryview) -> bool:
        """Whether a whole file is of this form, and undamaged."""
        if b"".join([content[start:stop] for start, stop in self.spans]) != self.common:
            return False
        return all(
            zlib.crc32(content[start:stop]) == int.from_bytes(content[at : at + 4], "little")
            for at, start, stop in self.checked
        )


def form_of(descriptor: int, table: MemberTable) -> Form | None:
    """The form of an open file. None: it cannot be read in place, or has changed since `table`.

    Raises:
        TrajectoryError: the file is no `.npz` any more.
    """
    size = table.identity[1]
    content = read_bytes(descriptor, 0, size)
    holes: list[tuple[int, int]] = []
    checked: list[tuple[int, int, int]] = []
    line = END.unpack_from(content, size - END.size)[-2]  # where the directory begins
    for entry, at in locate(descriptor, size):
        if table.members is None or entry.method != STORED or entry.key not in table.members:
            return None
        holes.append((entry.offset + _LOCAL_CRC, entry.offset + _LOCAL_CRC + 4))
        holes.append((table.members[entry.key].offset, at + entry.size))
        holes.append((line + _CENTRAL_CRC, line + _CENTRAL_CRC + 4))
        checked.append((line + _CENTRAL_CRC, at, at + entry.size))
        line += CENTRAL.size + sum(_CENTRAL_LENGTHS.unpack_from(content, line + 28))
    spans = _between(sorted(holes), size)
    form = Form(spans, b"".join([content[a:b] for a, b in spans]), tuple(checked))
    return form if form.fits(content) else None


def _between(holes: list[tuple[int, int]], size: int) -> tuple[tuple[int, int], ...]:
    """What is left of `[0, size)`."""
    starts = [0, *(stop for _, stop in holes)]
    stops = [*(start for start, _ in holes), size]
    return tuple((a, b) for a, b in zip(starts, stops, strict=True) if a < b)

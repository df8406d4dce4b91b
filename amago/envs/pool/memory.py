"""Memory that processes share, and that is gone when the last of them is."""

import mmap
import os
import tempfile

from amago.core.errors import EnvError


class SharedMemory:
    """Zeroed memory without a name, so that nothing can be left behind.

    Attributes:
        descriptor: of its file; what another process maps.
        map: of this process.

    Raises:
        EnvError: there is none to be had.
    """

    def __init__(self, size: int) -> None:
        self.descriptor = -1
        try:
            self.descriptor = _anonymous_file()
            _reserve(self.descriptor, size)
            self.map = mmap.mmap(self.descriptor, size)
        except OSError as error:
            self.close()
            raise EnvError(
                f"no {size:,} bytes of shared memory for the environments' worker processes "
                f"({error}). env_mode='sync' needs none."
            ) from error

    def close(self) -> None:
        """Close the file. The map lives as long as arrays on it do."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):  # memory, whatever the size of /dev/shm
        return os.memfd_create("amago-pool")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _reserve(descriptor: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):  # an error here, and not a signal at the first write
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.ftruncate(descriptor, size)

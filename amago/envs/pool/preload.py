"""What the fork server imports, and nobody else: the worker's code, which its workers then share.

A batch system that asks a job to stop signals all of its processes. The server must outlive that:
when it ends its workers do, and with them the episodes that the run is about to save. It ends with
the run.
"""

import signal

import amago.envs.pool.worker  # noqa: F401 - to have it loaded

for number in (signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, signal.SIG_IGN)

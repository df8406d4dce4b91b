"""The fork server outlives a request to stop that reaches every process of a run."""

import os
import signal
from multiprocessing import forkserver

from amago.envs.pool import make_pool


def test_a_signal_to_the_whole_job_leaves_the_server_and_its_workers(frail):
    pool = make_pool([frail(), frail()], mode="async", mp_context="forkserver")
    try:
        pool.reset()
        server = forkserver._forkserver
        pid = server._forkserver_pid
        for number in (signal.SIGTERM, signal.SIGUSR1):
            os.kill(pid, number)
            for worker in pool._workers:
                os.kill(worker.pid, number)
        pool.state_dict()
        server.ensure_running()  # would start another one if this had ended
        assert server._forkserver_pid == pid
        assert pool.num_faults == 0
    finally:
        pool.close()

import sys
from types import SimpleNamespace

from amago.tracking.metrics import declared
from amago.tracking.system import SystemMonitor


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_every_sampled_metric_is_declared_and_finite(tmp_path):
    clock = Clock()
    monitor = SystemMonitor(tmp_path, clock=clock)
    monitor.sample()
    clock.now = 2.0
    metrics = monitor.sample()
    assert {"CPU (%)", "RAM (%)", "Process RSS (GB)", "Disk Free (GB)"} <= metrics.keys()
    assert "Network Sent (MB/s)" in metrics
    assert all(declared(f"System/{name}") for name in metrics)
    assert all(0 <= value < float("inf") for value in metrics.values())


def test_a_sample_is_due_at_once_and_then_by_the_interval(tmp_path):
    clock = Clock()
    monitor = SystemMonitor(tmp_path, interval_s=30, clock=clock)
    assert monitor.is_due()
    monitor.sample()
    assert not monitor.is_due()
    clock.now = 30.0
    assert monitor.is_due()


def test_rates_are_bytes_over_the_time_between_samples(tmp_path, monkeypatch):
    clock, sent = Clock(), iter([1_000_000, 5_000_000])
    monkeypatch.setattr(
        "psutil.net_io_counters", lambda: SimpleNamespace(bytes_recv=0, bytes_sent=next(sent))
    )
    monitor = SystemMonitor(tmp_path, clock=clock)
    assert "Network Sent (MB/s)" not in monitor.sample()
    clock.now = 2.0
    assert monitor.sample()["Network Sent (MB/s)"] == 2.0


class FakeProcess:
    """Half a processor busy, 2 GB of memory, 7 threads."""

    def cpu_percent(self):
        return 50.0

    def memory_info(self):
        return SimpleNamespace(rss=2_000_000_000)

    def num_threads(self):
        return 7


def test_sizes_are_in_gigabytes_and_loads_in_percent(tmp_path, monkeypatch):
    memory = SimpleNamespace(percent=25.0, available=6_000_000_000)
    monkeypatch.setattr("psutil.virtual_memory", lambda: memory)
    monkeypatch.setattr("psutil.cpu_percent", lambda: 80.0)
    monkeypatch.setattr("psutil.disk_usage", lambda folder: SimpleNamespace(free=3_500_000_000))
    monkeypatch.setattr("psutil.Process", FakeProcess)
    expected = {
        "CPU (%)": 80.0,
        "RAM (%)": 25.0,
        "RAM Available (GB)": 6.0,
        "Process CPU (%)": 50.0,
        "Process RSS (GB)": 2.0,
        "Process Threads": 7.0,
        "Disk Free (GB)": 3.5,
    }
    sample = SystemMonitor(tmp_path).sample()
    assert {name: sample[name] for name in expected} == expected


class FakeNvml:
    """Two GPUs; the second does not report its power."""

    class NVMLError(Exception):
        pass

    def nvmlInit(self):
        pass

    def nvmlDeviceGetCount(self):
        return 2

    def nvmlDeviceGetHandleByIndex(self, index):
        return index

    def nvmlDeviceGetMemoryInfo(self, handle):
        return SimpleNamespace(used=4e9, total=16e9)

    def nvmlDeviceGetUtilizationRates(self, handle):
        return SimpleNamespace(gpu=50)

    def nvmlDeviceGetPowerUsage(self, handle):
        if handle == 1:
            raise self.NVMLError
        return 250_000


def test_gpus_are_sampled_and_what_one_does_not_report_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    metrics = SystemMonitor(tmp_path).sample()
    assert metrics["GPU 0 Utilization (%)"] == 50
    assert metrics["GPU 0 Memory (GB)"] == 4
    assert metrics["GPU 1 Memory (%)"] == 25
    assert metrics["GPU 0 Power (W)"] == 250
    assert "GPU 1 Power (W)" not in metrics
    assert all(declared(f"System/{name}") for name in metrics)


def test_only_visible_gpus_are_sampled(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    metrics = SystemMonitor(tmp_path).sample()
    assert "GPU 1 Memory (GB)" in metrics
    assert "GPU 0 Memory (GB)" not in metrics

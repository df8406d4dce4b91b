"""What the machine is doing: CPU, memory, disk, network, GPUs. The `System/` section."""

import contextlib
import os
import time
from collections.abc import Callable
from typing import Any

import psutil

_GB, _MB = 1e9, 1e6


class SystemMonitor:
    """Samples hardware metrics; about 1 ms a sample.

    Args:
        folder: the run's folder; free space and disk traffic are those of its disk and machine.
        interval_s: how often `is_due`.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] = ".",
        interval_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._interval_s = interval_s
        self._clock = clock
        self._last_s: float | None = None
        self._process = psutil.Process()
        self._gpus = _Gpus()
        self._counters: dict[str, float] = {}
        self._process.cpu_percent()  # the first call has nothing to compare with
        psutil.cpu_percent()

    def is_due(self) -> bool:
        """True if the last sample is older than the interval, or there is none."""
        return self._last_s is None or self._clock() - self._last_s >= self._interval_s

    def sample(self) -> dict[str, float]:
        """Metrics now, without the `System/` prefix; rates are since the sample before."""
        now = self._clock()
        memory = psutil.virtual_memory()
        metrics = {
            "CPU (%)": psutil.cpu_percent(),
            "RAM (%)": memory.percent,
            "RAM Available (GB)": memory.available / _GB,
            "Process CPU (%)": self._process.cpu_percent(),
            "Process RSS (GB)": self._process.memory_info().rss / _GB,
            "Process Threads": float(self._process.num_threads()),
            **self._disk_space(),
            **self._rates(now),
            **self._gpus.sample(),
        }
        self._last_s = now
        return metrics

    def _disk_space(self) -> dict[str, float]:
        with contextlib.suppress(OSError):
            return {"Disk Free (GB)": psutil.disk_usage(os.fspath(self._folder)).free / _GB}
        return {}

    def _rates(self, now: float) -> dict[str, float]:
        counters = _io_counters()
        seconds = 0.0 if self._last_s is None else now - self._last_s
        before, self._counters = self._counters, counters
        if seconds <= 0:
            return {}
        return {
            f"{name} (MB/s)": max(0.0, value - before[name]) / _MB / seconds
            for name, value in counters.items()
            if name in before
        }


def _io_counters() -> dict[str, float]:
    """Bytes since the machine started; empty where the platform does not tell."""
    counters: dict[str, float] = {}
    with contextlib.suppress(OSError, RuntimeError):
        disk = psutil.disk_io_counters()
        if disk is not None:
            counters |= {"Disk Read": disk.read_bytes, "Disk Written": disk.write_bytes}
    with contextlib.suppress(OSError, RuntimeError):
        network = psutil.net_io_counters()
        if network is not None:
            counters |= {"Network Received": network.bytes_recv, "Network Sent": network.bytes_sent}
    return counters


class _Gpus:
    """NVIDIA GPUs that this process may use, read through `nvidia-ml-py` where it is installed."""

    def __init__(self) -> None:
        self._nvml = _load_nvml()
        self._handles = self._find() if self._nvml else {}

    def sample(self) -> dict[str, float]:
        metrics: dict[str, float] = {}
        for index, handle in self._handles.items():
            with contextlib.suppress(self._nvml.NVMLError):
                metrics |= self._sample_one(f"GPU {index}", handle)
        return metrics

    def _sample_one(self, gpu: str, handle: Any) -> dict[str, float]:
        nvml = self._nvml
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        metrics = {
            f"{gpu} Memory (GB)": memory.used / _GB,
            f"{gpu} Memory (%)": 100.0 * memory.used / memory.total,
        }
        # A GPU in MIG mode or a laptop's answers some of these with "not supported".
        with contextlib.suppress(nvml.NVMLError):
            metrics[f"{gpu} Utilization (%)"] = float(
                nvml.nvmlDeviceGetUtilizationRates(handle).gpu
            )
        with contextlib.suppress(nvml.NVMLError):
            metrics[f"{gpu} Power (W)"] = nvml.nvmlDeviceGetPowerUsage(handle) / 1000.0
        return metrics

    def _find(self) -> dict[int, Any]:
        nvml = self._nvml
        handles = {i: nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())}
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        if visible is None or not all(part.strip().isdigit() for part in visible.split(",")):
            return handles if visible != "" else {}
        wanted = {int(part) for part in visible.split(",")}
        return {index: handle for index, handle in handles.items() if index in wanted}


def _load_nvml() -> Any:
    try:
        import pynvml  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # no driver, or no GPU
        return None
    return pynvml

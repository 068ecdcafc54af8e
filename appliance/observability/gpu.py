"""GPU telemetry by NVML: what the devices did while something ran.

Rules
1. One thread, one sample a second, outside the training process. A host without GPU or driver says so with the reason;
   it is never an error and never a row of zeros.
2. Energy is the difference of NVML's counter where the device has one, else the integral of power, and is labelled.
   The counter is read at both ends only: one reading keeps a core busy for 4 ms (H100, driver 580), fifty times as long
   as any other field.
3. Power is a window average of the driver and not instantaneous; utilisation is a share of samples of the driver.
   A field that a device does not support is absent.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pynvml

PERIOD_S = 1.0
# nvmlClocksThrottleReasons bits, nvml.h
THROTTLE_REASONS = {
    0x0000000000000002: "applications_clocks_setting",
    0x0000000000000004: "sw_power_cap",
    0x0000000000000008: "hw_slowdown",
    0x0000000000000010: "sync_boost",
    0x0000000000000020: "sw_thermal_slowdown",
    0x0000000000000040: "hw_thermal_slowdown",
    0x0000000000000080: "hw_power_brake_slowdown",
    0x0000000000000100: "display_clock_setting",
}


def gpu_name() -> str | None:
    """The name of the first GPU with dashes for spaces, or None where there is none."""
    try:
        with _nvml():
            if pynvml.nvmlDeviceGetCount() == 0:
                return None
            return _text(pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(0))).replace(" ", "-")
    except pynvml.NVMLError:
        return None


class GpuSampler:
    """Samples all GPUs while the block runs; `summary` afterwards (or in between)."""

    def __init__(self, *, period_s: float = PERIOD_S) -> None:
        self._period_s = period_s
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._reason = ""
        self._devices: list[_Device] = []
        self._exit = contextlib.ExitStack()

    def __enter__(self) -> GpuSampler:
        try:
            self._exit.enter_context(_nvml())
            self._devices = [
                _Device(pynvml.nvmlDeviceGetHandleByIndex(index)) for index in range(pynvml.nvmlDeviceGetCount())
            ]
        except pynvml.NVMLError as error:
            self._reason = str(error)
        if self._devices:
            self._thread = threading.Thread(target=self._run, name="gpu-telemetry", daemon=True)
            self._thread.start()
        elif not self._reason:
            self._reason = "the driver reports no device"
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        for device in self._devices:
            device.sample(self._period_s)
            device.close()
        self._exit.close()

    def summary(self) -> dict[str, Any]:
        """``{"gpu": "none", "reason"}``, or count and one entry per device."""
        if not self._devices:
            return {"gpu": "none", "reason": self._reason}
        return {"gpu": "nvidia", "devices": [device.summary() for device in self._devices]}

    def _run(self) -> None:
        while not self._stop.wait(self._period_s):
            for device in self._devices:
                device.sample(self._period_s)


class _Device:
    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._name = _text(pynvml.nvmlDeviceGetName(handle))
        self._values: dict[str, list[float]] = {}
        self._reasons: dict[str, int] = {}
        self._samples = 0
        self._first_mj = self._read_energy()
        self._last_mj: float | None = None
        self._power_integral_j = 0.0

    def sample(self, period_s: float) -> None:
        handle = self._handle
        self._samples += 1
        use = _read(lambda: pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        self._add("utilisation_percent", use)
        self._add("memory_used_bytes", _read(lambda: pynvml.nvmlDeviceGetMemoryInfo(handle).used))
        power = _read(lambda: pynvml.nvmlDeviceGetPowerUsage(handle) / 1000.0)
        self._add("power_watts", power)
        self._power_integral_j += (power or 0.0) * period_s
        self._add(
            "temperature_celsius",
            _read(lambda: pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU)),
        )
        bits = _read(lambda: pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))
        for bit, reason in THROTTLE_REASONS.items():
            if bits is not None and int(bits) & bit:
                self._reasons[reason] = self._reasons.get(reason, 0) + 1

    def close(self) -> None:
        """The last reading of the energy counter."""
        self._last_mj = self._read_energy()

    def summary(self) -> dict[str, Any]:
        result: dict[str, Any] = {"name": self._name, "samples": self._samples, "throttled_samples": self._reasons}
        for name, values in self._values.items():
            result[name] = {"mean": round(sum(values) / len(values), 3), "max": max(values)}
        last_mj = self._read_energy() if self._last_mj is None else self._last_mj
        if self._first_mj is not None and last_mj is not None:
            result["energy_joules"] = round((last_mj - self._first_mj) / 1000.0, 3)
            result["energy_source"] = "counter"
        elif "power_watts" in self._values:
            result["energy_joules"] = round(self._power_integral_j, 3)
            result["energy_source"] = "integral of power"
        return result

    def _read_energy(self) -> float | None:
        return _read(lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))

    def _add(self, name: str, value: float | None) -> None:
        if value is not None:
            self._values.setdefault(name, []).append(float(value))


@contextlib.contextmanager
def _nvml() -> Iterator[None]:
    pynvml.nvmlInit()
    try:
        yield
    finally:
        pynvml.nvmlShutdown()


def _read(field: Callable[[], float]) -> float | None:
    try:
        return field()
    except pynvml.NVMLError:  # not supported on this device
        return None


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name

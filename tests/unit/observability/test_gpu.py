"""GPU telemetry: a host without GPU says so; with one, a simulated driver is summarised."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pynvml
import pytest

from appliance.observability.gpu import GpuSampler, gpu_name


def refuse(*_):
    raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)


def test_no_driver_is_said_with_its_reason(monkeypatch):
    monkeypatch.setattr(pynvml, "nvmlInit", refuse)
    with GpuSampler(period_s=0.01) as sampler:
        pass
    assert sampler.summary() == {"gpu": "none", "reason": "NVML Shared Library Not Found"}
    assert gpu_name() is None


@pytest.fixture
def driver(monkeypatch):
    """One device; energy grows by 2 J at each reading; throttle reasons are not supported."""
    energy = iter(range(0, 10**9, 2_000))
    for name, value in {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: 1,
        "nvmlDeviceGetHandleByIndex": lambda _: "handle",
        "nvmlDeviceGetName": lambda _: b"Test GPU",
        "nvmlDeviceGetUtilizationRates": lambda _: SimpleNamespace(gpu=40),
        "nvmlDeviceGetMemoryInfo": lambda _: SimpleNamespace(used=1_000),
        "nvmlDeviceGetPowerUsage": lambda _: 70_000,
        "nvmlDeviceGetTemperature": lambda *_: 55,
        "nvmlDeviceGetTotalEnergyConsumption": lambda _: next(energy),
        "nvmlDeviceGetCurrentClocksThrottleReasons": lambda _: 0x24,
    }.items():
        monkeypatch.setattr(pynvml, name, value)


@pytest.mark.usefixtures("driver")
def test_a_device_is_summarised():
    with GpuSampler(period_s=60) as sampler:
        pass
    device = sampler.summary()["devices"][0]
    assert device["name"] == "Test GPU"
    assert device["power_watts"] == {"mean": 70.0, "max": 70.0}
    assert device["energy_joules"] == 2.0
    assert device["energy_source"] == "counter"
    assert device["throttled_samples"] == {"sw_power_cap": 1, "sw_thermal_slowdown": 1}
    assert gpu_name() == "Test-GPU"


@pytest.mark.usefixtures("driver")
def test_the_energy_counter_is_read_at_both_ends_only():
    with GpuSampler(period_s=0.005) as sampler:
        time.sleep(0.1)
    device = sampler.summary()["devices"][0]
    assert device["samples"] > 2
    assert device["energy_joules"] == 2.0  # two readings, and `summary` afterwards takes none
    assert sampler.summary()["devices"][0] == device


@pytest.mark.usefixtures("driver")
def test_a_field_that_the_device_lacks_is_absent(monkeypatch):
    monkeypatch.setattr(pynvml, "nvmlDeviceGetTotalEnergyConsumption", refuse)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetTemperature", refuse)
    with GpuSampler(period_s=60) as sampler:
        pass
    device = sampler.summary()["devices"][0]
    assert "temperature_celsius" not in device
    assert device["energy_source"] == "integral of power"

"""Metrics, drift, calibration, alerts and GPU telemetry."""

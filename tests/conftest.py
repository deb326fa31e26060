"""Settings for all tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Timing claims live in bench/: a slow machine is no failure, and the same examples are tried in every run of CI.
settings.register_profile("tillwatch", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tillwatch")

"""The same examples on every run, and none of them late: a slow machine is no bug."""

from hypothesis import HealthCheck, settings

settings.register_profile("steady", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

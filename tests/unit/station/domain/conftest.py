"""Settings of hypothesis for tests that share a busy machine: slow is not wrong."""

from hypothesis import settings

settings.register_profile("patient", settings(deadline=None))
settings.load_profile("patient")

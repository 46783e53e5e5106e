"""Fixtures that every test may ask for."""

import os

pytest_plugins = ["tests.support.postgres", "tests.support.kubernetes.fixtures"]

# Made records have dates of their own: monitors that tests start keep what is drawn of them,
# whatever today is.
os.environ.setdefault("MONITOR_RETENTION_POINTS", "P3650D")

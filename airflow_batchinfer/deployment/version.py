"""Which version of this package this process has: a router of another one is replaced when its service is deployed again."""

from importlib.metadata import version

VERSION = version("airflow-batchinfer")

"""The originals, for all tests here."""

from tests.oracles.asking import original
from tests.oracles.serving_both import sides

__all__ = ["original", "sides"]

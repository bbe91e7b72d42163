"""The original, for all tests here."""

from tests.oracles.asking import original

__all__ = ["original"]

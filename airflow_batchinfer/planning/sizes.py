"""A size in bytes as people write it: 1024, 512KB, 10MB, 1GB; a KB has 1,024 bytes."""

import re

_SIZE = re.compile(r"(\d+)(?:([kKmMgG])[bB])?")
_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def bytes_of(text: str) -> int | None:
    """How many bytes that is; None if it is no size."""
    match = _SIZE.fullmatch(text)
    return int(match[1]) * (_UNITS[match[2].lower()] if match[2] else 1) if match else None


def told_bytes(count: int) -> str:
    """A size for people."""
    for unit, size in reversed(_UNITS.items()):
        if count >= size:
            return f"{count / size:.3g} {unit.upper()}B"
    return f"{count} bytes"

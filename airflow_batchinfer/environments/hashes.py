"""Hashes that requirements are held to. Uv looks at none as it resolves: it locks those that the index has. Pure."""

import re
from collections.abc import Iterable, Iterator

_HASH = re.compile(r"\s*--hash[=\s]\s*(\S+)")
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(?=$|[\s\[=<>!~;@(])")


def held_to(locked: Iterable[str], asked: Iterable[str]) -> tuple[str, ...]:
    """Lines of a lock, with the hashes that were asked for in place of the index's."""
    known = _asked(asked)
    return tuple(_with_hashes(line, known[name]) if (name := _named(line)) in known else line for line in locked)


def strangers(locked: Iterable[str], asked: Iterable[str]) -> Iterator[str]:
    """Packages of a lock of which the index has no file that was asked for."""
    known = _asked(asked)
    for line in locked:
        wanted, there = known.get(_named(line), set()), _hashes(line)
        kinds = {each.partition(":")[0] for each in wanted} & {each.partition(":")[0] for each in there}
        if kinds and not wanted & there:
            yield _HASH.sub("", line)


def without(locked: Iterable[str], asked: Iterable[str]) -> Iterator[str]:
    """Packages of a lock for which no hash was asked."""
    known = _asked(asked)
    return (_HASH.sub("", line) for line in locked if _named(line) not in known)


def _asked(lines: Iterable[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for line in lines:
        if hashes := _hashes(line):
            found.setdefault(_named(line), set()).update(hashes)
    return found


def _named(line: str) -> str:
    """The package's name as indexes spell it, or the address of one that is asked for without a name."""
    name = _NAME.match(line)
    return re.sub(r"[-_.]+", "-", name[0]).lower() if name else line.partition(" ")[0]


def _hashes(line: str) -> set[str]:
    return set(_HASH.findall(line))


def _with_hashes(line: str, hashes: Iterable[str]) -> str:
    return " ".join([_HASH.sub("", line), *(f"--hash={each}" for each in sorted(hashes))])

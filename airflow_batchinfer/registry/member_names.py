"""Which names files may bear that somebody else named: whoever packed an archive, or wrote to a bucket.

Nothing here looks at a disk. A name that passes leads nowhere but below its folder and can be shown to a person; names
that pass together stay apart on every file system, also where case or the form of an umlaut makes no difference.
"""

import re
import unicodedata

from airflow_batchinfer.storage.local import TEMPORARY

MOST_PART_BYTES = 255
MOST_PATH_BYTES = 800  # an S3 key holds 1,024, with the workspace's own part
_DRIVE = re.compile("[A-Za-z]:")
_SHOWN_CHARACTERS = 120


def fault_of(name: str) -> str | None:
    """What is wrong with a name by itself."""
    parts = name.split("/")
    wrong = {
        "has a backslash in its name, which is a folder to some and a letter to others": "\\" in name,
        "has characters in its name that cannot be shown": not name.isprintable(),
        "is an absolute path": name.startswith("/") or _DRIVE.match(name),
        "leads out of its folder by '..'": ".." in parts,
        f"has a name of more than {MOST_PATH_BYTES} bytes": _bytes(name) > MOST_PATH_BYTES,
        f"has a part in its name of more than {MOST_PART_BYTES} bytes": max(map(_bytes, parts)) > MOST_PART_BYTES,
        f"begins with {TEMPORARY}, as only unfinished files do": any(part.startswith(TEMPORARY) for part in parts),
    }
    return next((fault for fault, is_so in wrong.items() if is_so), None)


def plain(name: str) -> str:
    """A name without the parts that say nothing; empty for the top folder."""
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def inside(path: str) -> str | None:
    """Where a path with `..` leads, where nothing on its way is a link; None if that is outside."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return None if path.startswith("/") else "/".join(parts)


def shown(name: str) -> str:
    """A name as an error shows it, whatever is in it."""
    return repr(name if len(name) <= _SHOWN_CHARACTERS else f"{name[:_SHOWN_CHARACTERS]}…")


class Tree:
    """Names that are to lie below one folder."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, bool]] = {}
        self._folders = {""}

    def __len__(self) -> int:
        """How many files and folders there are."""
        return len(self._known)

    def add(self, path: str, *, is_folder: bool = False) -> str | None:
        """Add a plain name with the folders above it; what is wrong with it beside the others."""
        above = path.rpartition("/")[0]
        if above not in self._folders:
            for slash in re.finditer("/", path):
                if fault := self._add(path[: slash.start()], is_folder=True):
                    return fault
            self._folders.add(above)
        return self._add(path, is_folder=is_folder)

    def _add(self, path: str, *, is_folder: bool) -> str | None:
        folded = _folded(path)
        if folded not in self._known:
            self._known[folded] = path, is_folder
            return None
        other, other_is_folder = self._known[folded]
        if other != path:
            return f"differs from {shown(other)} only in case or in the form of its letters"
        if other_is_folder and not is_folder:
            return "is a file where others need a folder"
        if is_folder and not other_is_folder:
            return f"needs a folder where {shown(other)} is a file"
        return None if is_folder else "is there twice"


def _folded(path: str) -> str:
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", path).casefold())


def _bytes(name: str) -> int:
    return len(name.encode("utf-8", "surrogateescape"))

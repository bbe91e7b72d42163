"""Unpacks a zip or tar file that somebody else made: all of it or, with every fault in one error, nothing that counts.

Why not tarfile's data filter: it knows no zip files, stops at the first fault, takes absolute names for relative ones,
and looks at nothing that only several members show: repeated names, case, size. Here no link is ever made (one that leads
to a file of the archive becomes that file), so that no member can be written through one; permissions are not kept.
What was unpacked when an error comes is rubbish: unpack into a folder that is thrown away then.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.registry.archive_members import PIECE_BYTES, SUFFIXES, BrokenArchiveError, Kind, Member, members_of, reading
from airflow_batchinfer.registry.member_names import Tree, fault_of, inside, plain, shown
from airflow_batchinfer.storage.local import explained

_OTHER_SUFFIXES = (".tar.bz2", ".tbz", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst", ".7z", ".rar")
MOST_LINKS_IN_A_ROW = 40  # as many as a kernel follows
MOST_FAULTS = 20
REMEDY = "Nothing of it was registered; pack it anew, or unpack it yourself and register the folder"


@dataclass(frozen=True)
class Limits:
    """How much an archive may become: so many bytes for each of its own, but never more than `most_bytes` in all."""

    ratio: int = 100
    free_bytes: int = 256 << 20
    most_bytes: int = 1 << 40
    most_members: int = 100_000

    def bytes_for(self, archive_bytes: int) -> int:
        """What an archive of this size may become."""
        return min(self.most_bytes, max(self.free_bytes, self.ratio * archive_bytes))


STANDARD = Limits()


def is_archive(name: str) -> bool:
    """Whether a file of this name is unpacked; one that looks packed otherwise is refused, since a script would find no model in it."""
    if name.lower().endswith(_OTHER_SUFFIXES):
        raise ConfigError(f"the model {name!r}: only .tar.gz, .tar and .zip are unpacked; pack it so, or register the folder")
    return name.lower().endswith(SUFFIXES)


def unpack(archive: Path, told: str, folder: Path, limits: Limits = STANDARD) -> None:
    """Unpack into an empty folder; `told` is what errors call the archive."""
    with explained(archive):
        most_bytes = limits.bytes_for(archive.stat().st_size)
    unpacking = _Unpacking(folder, limits.most_members, most_bytes)
    try:
        with explained(archive), archive.open("rb") as file:
            for member in members_of(file, archive.name, most_bytes):
                unpacking.take(member)
        unpacking.resolve_links()
    except BrokenArchiveError as error:
        unpacking.faults.append(str(error))
    _raise(f"the archive {told}", unpacking.faults)


class _Unpacking:
    """Takes member after member; when the first fault is found it only looks at the rest."""

    def __init__(self, folder: Path, most_members: int, most_bytes: int) -> None:
        self.faults: list[str] = []
        self._folder = folder
        self._most_members = most_members
        self._most_bytes = most_bytes
        self._bytes = 0
        self._members = 0
        self._tree = Tree()
        self._files: dict[str, int] = {}
        self._links: dict[str, str] = {}

    def take(self, member: Member) -> None:
        """Unpack a member, or note what is wrong with it."""
        self._members += 1
        path = plain(member.name)
        if fault := self._fault(member, path):
            self.faults.append(f"its member {shown(member.name)} {fault}")
        elif member.kind is Kind.LINK:
            self._links[path] = member.target
        elif member.kind is Kind.FILE:
            self._write(member, path)
        if max(self._members, len(self._tree)) > self._most_members:
            raise BrokenArchiveError(f"it holds more than {self._most_members:,} files and folders")

    def resolve_links(self) -> None:
        """Put a copy where a link leads to a file of the archive; any other link is a fault."""
        for path in self._links:
            end = self._end_of(path)
            if end not in self._files:
                self.faults.append(f"its member {shown(path)} is a link to {shown(self._links[path])}, which is no file of the archive")
                continue
            self._count(self._files[end])
            if not self.faults:
                with explained(self._folder / path):
                    (self._folder / path).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(self._folder / end, self._folder / path)

    def _fault(self, member: Member, path: str) -> str | None:
        if fault := fault_of(member.name) or member.fault:
            return fault
        if member.kind is Kind.OTHER:
            return "is a device, a pipe or the like"
        if path:
            return self._tree.add(path, is_folder=member.kind is Kind.FOLDER)
        return None if member.kind is Kind.FOLDER else "has no name"

    def _write(self, member: Member, path: str) -> None:
        self._count(member.size_bytes)
        self._files[path] = member.size_bytes
        if self.faults:
            return
        target = self._folder / path
        written = 0
        with reading():
            source = member.open()
        with explained(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        with source as reader, explained(target), target.open("xb") as writer:
            while piece := _read(reader):
                written += len(piece)
                if written > member.size_bytes:
                    break
                writer.write(piece)
        if written != member.size_bytes:
            raise BrokenArchiveError(f"its member {shown(member.name)} has not the size that it says")

    def _count(self, size_bytes: int) -> None:
        self._bytes += size_bytes
        if self._bytes > self._most_bytes:
            raise BrokenArchiveError(f"it unpacks to more than {self._most_bytes:,} bytes, the most for one of its size")

    def _end_of(self, path: str) -> str | None:
        end: str | None = path
        for _ in range(MOST_LINKS_IN_A_ROW):
            if end not in self._links:
                return end
            end = inside(self._links[end])
        return None


def _read(reader: BinaryIO) -> bytes:
    with reading():
        return reader.read(PIECE_BYTES)


def _raise(where: str, faults: list[str]) -> None:
    told = [f"{where}: {fault}" for fault in faults[:MOST_FAULTS]]
    if len(faults) > MOST_FAULTS:
        told.append(f"and {len(faults) - MOST_FAULTS:,} more members are refused")
    if told:
        told[-1] += f". {REMEDY}"
        raise ConfigError(told)

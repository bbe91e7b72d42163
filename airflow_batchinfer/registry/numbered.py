"""Records by name and number: 1, 2, 3 without a gap, each created exclusively, none ever changed but to be deleted.

A deleted record leaves its number taken, so a reference never comes to mean something else. What a record holds, and
when two are the same, is for its registry to say; so is what to do when the race for a number is lost.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from airflow_batchinfer.errors import ConfigError, NotFoundError
from airflow_batchinfer.storage import Store

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")


class Record(Protocol):
    """A frozen dataclass with at least these fields."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def name(self) -> str:
        """Of the thing of which this is a version."""

    @property
    def version(self) -> int:
        """Its number."""

    @property
    def deleted(self) -> bool:
        """Whether it only keeps its number taken."""


Kept = TypeVar("Kept", bound=Record)


@dataclass(frozen=True)
class NumberedRecords(Generic[Kept]):
    """All records of one kind in a workspace, below the folder `<kind>s`; `path` says where a version's lies."""

    store: Store
    kind: str
    path: Callable[[str, int], str]
    encode: Callable[[Kept], bytes]
    decode: Callable[[bytes], Kept]

    def check_name(self, name: str) -> None:
        """Refuse what cannot be a name."""
        if not _NAME.fullmatch(name):
            raise ConfigError(f"the {self.kind} name {name!r}: give letters, digits, '.', '_' and '-', beginning with a letter or a digit")

    def resolve(self, reference: str) -> Kept:
        """What `name`, `name:3` or `name:latest` means now."""
        name, _, wanted = reference.partition(":")
        versions = self.versions(name) if _NAME.fullmatch(name) else []
        if not versions:
            raise NotFoundError(
                f"there is no {self.kind} {name!r} in the workspace {self.store.url}; registered are: {', '.join(self.names()) or 'none'}"
            )
        if wanted in ("", "latest"):
            return versions[-1]
        for record in versions:
            if str(record.version) == wanted:
                return record
        raise NotFoundError(
            f"there is no {self.kind} {reference!r} in the workspace {self.store.url}; "
            f"versions of {name} are: {', '.join(str(record.version) for record in versions)}"
        )

    def names(self) -> list[str]:
        """The names that have a version."""
        return [name for name in self.store.children(f"{self.kind}s") if self.versions(name)]

    def versions(self, name: str) -> list[Kept]:
        """The versions of a name, in order."""
        return [record for record in self.all(name) if not record.deleted]

    def all(self, name: str) -> Iterator[Kept]:
        """The same and the deleted ones: there is no gap, so no listing is needed."""
        version = 1
        while True:
            try:
                yield self.read(name, version)
            except FileNotFoundError:
                return
            version += 1

    def read(self, name: str, version: int) -> Kept:
        """One record; FileNotFoundError if its number is free."""
        return self.decode(self.store.read(self.path(name, version)))

    def create(self, record: Kept) -> None:
        """Take a record's number; FileExistsError if somebody else has."""
        self.store.create(self.path(record.name, record.version), self.encode(record))

    def mark_deleted(self, record: Kept) -> None:
        """Leave of a record only that its number is taken."""
        with self.store.writer(self.path(record.name, record.version)) as stream:
            stream.write(self.encode(replace(record, deleted=True)))

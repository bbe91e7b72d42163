"""Models, and archives made by hand, also such as no packer would make."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from uuid import uuid4

# A member: its name and content, or a header that somebody has prepared, and its content.
Packed = tuple[str | tarfile.TarInfo | zipfile.ZipInfo, bytes]


def model_file(tmp_path: Path, content: str = "weights", name: str = "weights.bin") -> str:
    path = tmp_path / "models" / uuid4().hex / name
    path.parent.mkdir(parents=True)
    path.write_text(content)
    return str(path)


def model_folder(tmp_path: Path, **files: str) -> str:
    folder = tmp_path / "models" / uuid4().hex / "mnist"
    for name, content in files.items():
        place = folder / name.replace("__", "/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)
    return str(folder)


def tar(path: Path, *members: Packed | tarfile.TarInfo) -> Path:
    """Write a tar file, packed by gzip where its name says so."""
    content = tar_bytes(members)
    path.write_bytes(gzip.compress(content) if path.name.endswith("gz") else content)
    return path


def tar_bytes(members: Iterable[Packed | tarfile.TarInfo], form: int = tarfile.PAX_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for member in members:
            name, content = (member, b"") if isinstance(member, tarfile.TarInfo) else member
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(str(name))
            info.size = len(content) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def header(name: str, kind: bytes = tarfile.REGTYPE, to: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    """A tar member of any kind."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, to, mode
    return info


def zipped(path: Path, *members: Packed, method: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write a zip file."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def entry(name: str, mode: int = 0) -> zipfile.ZipInfo:
    """A zip member of any kind."""
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def altered(path: Path, alter: Callable[[bytearray], object]) -> Path:
    """Change the bytes of a file in place."""
    content = bytearray(path.read_bytes())
    alter(content)
    path.write_bytes(content)
    return path


def replaced(path: Path, old: bytes, new: bytes) -> Path:
    """Change the bytes of a file wherever they stand; no length changes."""
    assert len(old) == len(new)
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new))
    return path

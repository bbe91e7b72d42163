"""Archives that nobody should unpack, each with what its refusal says: `HOSTILE[name]` makes one in a folder."""

import os
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from airflow_batchinfer.registry.archive_members import MOST_DIRECTORY_BYTES, MOST_HEADER_BYTES
from tests.unit.registry.packing import altered, entry, header, replaced, tar, tar_bytes, zipped

Maker = Callable[[Path], Path]


def both(name: str) -> list[Maker]:
    return [lambda at: tar(at / "m.tar.gz", ("good", b"1"), (name, b"x")), lambda at: zipped(at / "m.zip", ("good", b"1"), (name, b"x"))]


def tar_of(*members: object, name: str = "m.tar.gz") -> Maker:
    return lambda at: tar(at / name, ("good", b"1"), *members)


def zip_of(*members: object, **how: int) -> Maker:
    return lambda at: zipped(at / "m.zip", ("good", b"1"), *members, **how)


def put(form: str, offset: int, *values: int) -> Callable[[bytearray], None]:
    """Overwrite fields of the last entry of a zip file's directory."""
    return lambda content: struct.pack_into(form, content, content.rindex(b"PK\1\2") + offset, *values)


def say_encrypted(content: bytearray) -> None:
    """Say of every member of a zip file that it is encrypted, in both places."""
    for magic, offset in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        at = content.find(magic)
        while at >= 0:
            content[at + offset] |= 1
            at = content.find(magic, at + 1)


def negative_size(at: Path) -> Path:
    info = header("bad")
    info.size = -1024
    (at / "m.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    return at / "m.tar"


def big_directory(at: Path) -> Path:
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, MOST_DIRECTORY_BYTES + 46, 0, 0)
    with (at / "m.zip").open("wb") as file:
        file.truncate(MOST_DIRECTORY_BYTES + 46)
        file.seek(0, os.SEEK_END)
        file.write(end)
    return at / "m.zip"


def many_global_headers(at: Path) -> Path:
    headers = b"".join(tarfile.TarInfo.create_pax_global_header({f"key{number}": "x"}) for number in range(7))
    members = b"".join(headers + tar_bytes([(f"{name}", b"")])[:512] for name in range(9))
    again = b"".join(
        tarfile.TarInfo.create_pax_global_header({f"other{number}": "x"}) + tar_bytes([(f"o{number}", b"")])[:512] for number in range(80)
    )
    (at / "m.tar").write_bytes(members + again + bytes(1024))
    return at / "m.tar"


def flip(position: int) -> Callable[[bytearray], None]:
    return lambda content: content.__setitem__(position, content[position] ^ 1)


def cut_at(position: int) -> Callable[[bytearray], None]:
    return lambda content: content.__delitem__(slice(position, None))


def two_files(at: Path) -> Path:
    """Headers at 0 and 1,536."""
    return tar(at / "m.tar", ("a", b"1" * 600), ("b", b"2" * 600))


def written(name: str, content: bytes) -> Maker:
    def make(at: Path) -> Path:
        (at / name).write_bytes(content)
        return at / name

    return make


LINK = stat.S_IFLNK | 0o777
SPARSE = header("bad", tarfile.GNUTYPE_SPARSE)
HOSTILE: dict[str, tuple[Maker, str]] = {
    **{f"an absolute path {n}": (make, "'/bad' is an absolute path") for n, make in enumerate(both("/bad"))},
    **{f"two dots {n}": (make, "leads out of its folder") for n, make in enumerate(both("a/../../bad"))},
    **{f"a backslash {n}": (make, "backslash") for n, make in enumerate(both("..\\bad"))},
    **{f"a name with a control character {n}": (make, "cannot be shown") for n, make in enumerate(both("a\x07b"))},
    **{f"another case {n}": (make, "'GOOD' differs from 'good' only in case") for n, make in enumerate(both("GOOD"))},
    **{f"a file above a file {n}": (make, "'good/bad' needs a folder where 'good' is a file") for n, make in enumerate(both("good/bad"))},
    **{f"a name too long {n}": (make, "more than 255 bytes") for n, make in enumerate(both("x" * 256))},
    **{f"a name of dots only {n}": (make, "'./.' has no name") for n, make in enumerate(both("./."))},
    "a name twice in a tar file": (tar_of(("good", b"2")), "is there twice"),
    "a name twice in a zip file": (lambda at: replaced(zip_of(("best", b"2"))(at), b"best", b"good"), "is there twice"),
    "a name twice in another spelling": (tar_of(("./good", b"2")), "is there twice"),
    "umlauts in two forms": (tar_of(("\u00fc", b"1"), ("u\u0308", b"2")), "in the form of its letters"),
    "a file below which there are others": (tar_of(("a/b", b""), ("a", b"")), "is a file where others need a folder"),
    "a name that is not UTF-8": (tar_of(("caf\udce9", b"")), r"'caf\\udce9' has characters"),
    "a NUL in a tar file's name": (lambda at: replaced(tar(at / "m.tar", ("\u00e9_x", b"")), b"\xa9_", b"\xa9\0"), "cannot be shown"),
    "a NUL in a zip file's name": (lambda at: replaced(zipped(at / "m.zip", ("ab_x", b"")), b"_x", b"\0x"), "cannot be shown"),
    "a device": (tar_of(header("bad", tarfile.CHRTYPE)), "is a device"),
    "a block device": (tar_of(header("bad", tarfile.BLKTYPE)), "is a device"),
    "a pipe": (tar_of(header("bad", tarfile.FIFOTYPE)), "is a device, a pipe"),
    "a pipe in a zip file": (zip_of((entry("bad", stat.S_IFIFO | 0o644), b"")), "is a device, a pipe"),
    "a member of a kind of its own": (tar_of(header("bad", b"V")), "is a device, a pipe or the like"),
    "a link out": (tar_of(header("bad", tarfile.SYMTYPE, "../outside")), "is a link to '../outside', which is no file of the archive"),
    "a link to an absolute path": (tar_of(header("bad", tarfile.SYMTYPE, "/etc/passwd")), "is a link to '/etc/passwd'"),
    "a link out through a folder": (tar_of(header("a/b/bad", tarfile.SYMTYPE, "../../../good")), "which is no file of the archive"),
    "a hard link out": (tar_of(header("bad", tarfile.LNKTYPE, "../good")), "is a link to '../good'"),
    "a hard link to an absolute path": (tar_of(header("bad", tarfile.LNKTYPE, "/etc/passwd")), "is a link to '/etc/passwd'"),
    "a link to a folder": (tar_of(("a/b", b""), header("bad", tarfile.SYMTYPE, "a")), "is a link to 'a', which is no file"),
    "a link to nothing": (tar_of(header("bad", tarfile.SYMTYPE, "missing")), "is a link to 'missing'"),
    "links in a circle": (tar_of(header("a", tarfile.SYMTYPE, "b"), header("b", tarfile.SYMTYPE, "a")), "'a' is a link to 'b'"),
    "a file through a link": (tar_of(header("bad", tarfile.SYMTYPE, "."), ("bad/x", b"")), "needs a folder where 'bad' is a file"),
    "a file over a link": (tar_of(header("bad", tarfile.SYMTYPE, "good"), ("bad", b"2")), "is there twice"),
    "a link out of a zip file": (zip_of((entry("a/bad", LINK), b"../../x")), "is a link to 'a/../../x'"),
    "a link of a zip file to an absolute path": (zip_of((entry("bad", LINK), b"/etc/passwd")), "is a link to '/etc/passwd'"),
    "a link of a zip file as long as a file": (zip_of((entry("bad", LINK), b"x" * 5000)), "is a link that leads too far"),
    "a link of a zip file that says it is short": (
        lambda at: altered(zip_of((entry("bad", LINK), b"x" * 9000))(at), put("<L", 24, 9)),
        "corrupt",
    ),
    "an encrypted zip file": (lambda at: altered(zip_of()(at), say_encrypted), "'good' is encrypted"),
    "a packing that is not read in pieces": (zip_of(("bad", b""), method=zipfile.ZIP_BZIP2), "is compressed by method 12"),
    "another packing that is not read in pieces": (zip_of(("bad", b""), method=zipfile.ZIP_LZMA), "is compressed by method 14"),
    "a sparse file": (written("m.tar", SPARSE.tobuf(tarfile.GNU_FORMAT) + bytes(1024)), "is a sparse file"),
    "a size below nothing": (negative_size, "size below nothing"),
    "a header of megabytes": (lambda at: tar(at / "m.tar", ("x" * (2 * MOST_HEADER_BYTES), b"")), "header has more than 16,384 bytes"),
    "more global headers than one can want": (many_global_headers, "more than 64 global headers"),
    "a zip file's directory of megabytes": (big_directory, "its directory says that it has"),
    "a size that is too small": (lambda at: altered(zip_of(("bad", b"x" * 9000))(at), put("<L", 24, 10)), "corrupt"),
    "a size that is too large": (lambda at: altered(zip_of(("bad", b"x" * 9000))(at), put("<L", 24, 9001)), "not the size that it says"),
    "a packed size that is too large": (lambda at: altered(zip_of(("bad", b"x" * 9))(at), put("<L", 20, 9000)), "overlaps another"),
    "two members with the same bytes": (lambda at: altered(zip_of(("bad", b"x" * 9))(at), put("<L", 42, 0)), "overlaps another"),
    "a member beyond the end": (lambda at: altered(zip_of(("bad", b"x" * 9))(at), put("<L", 42, 1 << 30)), "overlaps another"),
    "two names of one member": (lambda at: altered(zip_of(("bad", b""))(at), put("<B", 46, ord("c"))), "differ"),
    "a wrong check sum in a zip file": (lambda at: altered(zip_of(("bad", b"x" * 99))(at), put("<L", 16, 1)), "Bad CRC-32"),
    "a wrong check sum in a tar.gz file": (lambda at: altered(tar_of()(at), flip(-8)), "CRC check failed"),
    "a wrong check sum in a tar header": (lambda at: altered(two_files(at), flip(1536)), "end mark is missing"),
    "a tar file cut within a member": (lambda at: altered(two_files(at), cut_at(700)), "unexpected end of data"),
    "a tar file cut between two members": (lambda at: altered(two_files(at), cut_at(1536)), "end mark is missing"),
    "a tar.gz file cut": (lambda at: altered(tar_of()(at), cut_at(-20)), "Compressed file ended"),
    "a zip file cut": (lambda at: altered(zip_of()(at), cut_at(-20)), "not a zip file"),
    "a zip file that is none": (written("m.zip", b"<html>log in</html>"), "no such archive at all"),
    "a tar.gz file that is none": (written("m.tar.gz", b"<html>log in</html>" * 99), "no such archive at all"),
    "an empty tar.gz file": (written("m.tar.gz", b""), "no such archive at all"),
    "an empty zip file": (written("m.zip", b""), "no such archive at all"),
}

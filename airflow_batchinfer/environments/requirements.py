"""Lines of a requirements.txt, as pip and uv read them: what they ask for, where from, and what must not be among them.

Their content is stored in the job, so they must mean the same on every machine and hold no secret: what is included is read
here, paths become absolute, and a password is refused. `${NAME}` stays as it is: uv puts the machine's own value there.
"""

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from airflow_batchinfer.errors import ConfigError

MOST_BYTES = 1 << 20
PRE = "--pre"  # which uv takes on its command line only
REQUIRE_HASHES = "--require-hashes"  # which is seen to when the lock is there
_OPTION = re.compile(r"(?P<name>--[\w-]+|-\w)[\s=]*(?P<value>.*)")
_ONE_EQUALS = re.compile(r"[\w.\]]\s*=(?!=)")
_COMMENT = re.compile(r"(^|\s+)#.*$")
_SHORT = {"-r": "--requirement", "-c": "--constraint", "-f": "--find-links", "-i": "--index-url", "-e": "--editable"}
_INCLUDES = ("--requirement", "--constraint")
_OPTIONS = ("--index-url", "--extra-index-url", "--find-links", "--no-index", "--no-binary", "--only-binary", PRE, REQUIRE_HASHES)
# What pip takes in such a file and uv does by itself, or says in other ways.
_OF_PIP = ("--prefer-binary", "--trusted-host", "--use-feature")
_ARCHIVES = (".whl", ".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_VARIABLE = re.compile(r"\$\{\w+\}")
_USER = re.compile(r"(?P<scheme>[\w+.-]{1,20})://(?P<user>[^/\s]+)@")
_QUERY = re.compile(
    r"(?P<name>[?&][^=&#\s]{0,60}(?:sig|token|key|password|secret|credential)[^=&#\s]{0,60}=)(?P<value>[^&#\s]+)", re.IGNORECASE
)


@dataclass(frozen=True)
class Requirements:
    """What lines ask for: packages, constraints on others, and where packages come from."""

    packages: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def line_faults(line: str) -> list[str]:
    """Why a line cannot be stored, or would not mean the same elsewhere."""
    text = _COMMENT.sub("", line).strip()
    return [f"{without_secrets(text)!r} {fault}" for fault in _faults(text)]


def read_requirements(requirements: str | Sequence[str], folder: Path) -> Requirements:
    """Those of a list, or of a file; with what they include. Relative paths count from the file, or from `folder`."""
    reading = _Reading()
    if isinstance(requirements, str):
        reading.file(folder / Path(requirements).expanduser(), "packages", f"requirements={requirements!r}")
    else:
        reading.lines(requirements, folder, "packages", "requirements")
    if reading.faults:
        raise ConfigError(reading.faults)
    return Requirements(*(tuple(dict.fromkeys(reading.found[name])) for name in ("packages", "constraints", "options")))


def without_secrets(text: str) -> str:
    """Text in whose URLs no password, token or signature stands; what a machine puts in their place may."""
    hidden = _USER.sub(lambda url: url[0] if _is_safe(url["scheme"], url["user"]) else f"{url['scheme']}://****@", text)
    return _QUERY.sub(lambda query: query[0] if _VARIABLE.fullmatch(query["value"]) else f"{query['name']}****", hidden)


def _is_safe(scheme: str, user: str) -> bool:
    """A name without a password may itself be a token, but not where keys of SSH decide."""
    name, _, password = user.partition(":")
    return bool(_VARIABLE.fullmatch(password or name)) or (not password and scheme.endswith("ssh"))


class _Reading:
    def __init__(self) -> None:
        self.found: dict[str, list[str]] = {"packages": [], "constraints": [], "options": []}
        self.faults: list[str] = []
        self._above: list[Path] = []

    def file(self, path: Path, kind: str, asked: str) -> None:
        real = path.resolve()
        if real in self._above:
            self.faults.append(f"{asked}: {real} includes itself")
            return
        try:
            if not real.is_file():
                self.faults.append(f"{asked}: there is no file {path}")
                return
            with real.open("rb") as file:
                text = file.read(MOST_BYTES + 1)
            if len(text) > MOST_BYTES:
                self.faults.append(f"{asked}: {path} has more than {MOST_BYTES >> 20} MiB; it should hold requirements only")
                return
            lines = text.decode("utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            self.faults.append(f"{asked}: {path} cannot be read: {error}")
            return
        self._above.append(real)
        self.lines(_joined(lines), path.parent, kind, str(path))
        self._above.pop()

    def lines(self, lines: Iterable[str], folder: Path, kind: str, where: str) -> None:
        for line in lines:
            text = " ".join(_COMMENT.sub("", line).split())
            if not text:
                continue
            if faults := line_faults(text):
                self.faults += [f"{where}: {fault}" for fault in faults]
                continue
            name, value = _option(text)
            if name in _INCLUDES and "://" in value:
                self.faults.append(f"{where}: {text!r} is not on this machine: put that file beside this one")
            elif name in _INCLUDES:
                of = "constraints" if name == "--constraint" else kind
                self.file(folder / Path(value).expanduser(), of, f"{where}: {text}")
            elif name:
                is_path = name == "--find-links" and "://" not in value and not _VARIABLE.match(value)
                found = str((folder / Path(value).expanduser()).absolute()) if is_path else value
                self.found["options"] += [] if name in _OF_PIP else [f"{name} {found}".rstrip()]
            else:
                self.found[kind].append(text)


def _joined(lines: Iterable[str]) -> Iterator[str]:
    """Lines of which those that end in a backslash go on in the next."""
    held = ""
    for line in lines:
        text = held + line
        held = text[:-1] + " " if text.endswith("\\") else ""
        if not held:
            yield text
    if held:
        yield held


def _option(text: str) -> tuple[str, str]:
    """The long name and the value of an option; a requirement has no name."""
    if not text.startswith("-"):
        return "", text
    found = _OPTION.fullmatch(text)
    if not found:
        raise ValueError("it begins with '-' and is no option")
    parts = shlex.split(found["value"])
    return _SHORT.get(found["name"], found["name"]), parts[0] if len(parts) == 1 else found["value"]


def _faults(text: str) -> Iterator[str]:
    """At most one."""
    if without_secrets(text) != text:
        yield (
            "holds a secret, which would be stored with the job: write ${NAME} in its place and set that variable on each machine, "
            "or let uv know the index there (UV_INDEX_URL, netrc)"
        )
    elif text.startswith("-"):
        yield from _option_faults(text)
    elif not (target := _target(text)):
        yield "names no package"
    elif _is_local(target):
        yield "is a path of this machine only: give its absolute path on all machines, or a folder of wheels with --find-links"
    elif _is_folder(target):  # of which no lock and no fingerprint has a digest
        yield "is a folder, whose content may change unseen: ship such code with source_directory, or as a wheel"
    elif "://" not in target and "$" not in text and not target.startswith("/"):
        yield from _name_faults(text.partition(" --")[0])


def _name_faults(requirement: str) -> Iterator[str]:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        Requirement(requirement)
    except InvalidRequirement as error:
        remedy = "; one version is asked for with ==" if _ONE_EQUALS.search(requirement) else ""
        yield f"cannot be read: {str(error).splitlines()[0]}{remedy}"


def _option_faults(text: str) -> Iterator[str]:
    try:
        name, value = _option(text)
    except ValueError as error:
        yield f"cannot be read: {error}"
        return
    if name == "--editable":
        yield "is a folder of this machine only: ship such code with source_directory, or as a wheel"
    elif name not in (*_INCLUDES, *_OPTIONS, *_OF_PIP):
        yield f"is no option that is known here; there are {', '.join((*_INCLUDES, *_OPTIONS))}"
    elif not value and name not in ("--no-index", PRE, REQUIRE_HASHES, *_OF_PIP):
        yield "needs a value"


def _target(requirement: str) -> str:
    """What it asks for, by name or by address, without when and which; empty if that is missing."""
    words = (requirement.partition(" @ ")[2] or requirement).partition(";")[0].split()
    return words[0] if words else ""


def _is_local(target: str) -> bool:
    if "://" in target or target.startswith("/"):
        return False
    return target.startswith((".", "~")) or "/" in target or target.endswith(_ARCHIVES)


def _is_folder(target: str) -> bool:
    return target.startswith(("/", "file:")) and not re.split(r"[#?]", target)[0].endswith(_ARCHIVES)

"""The script's source, stored once in the job by content, so that every node runs the same.

With a source directory, all of it; without, the script and its sibling `*.py`. Its digest is that of the content,
whoever packs it.
"""

import ast
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_batchinfer.errors import ConfigError, ScriptError

MOST_BYTES = 100 * 1024**2
SETTINGS_FILE = "parallel_run_step.settings.json"
_NEVER = frozenset({"__pycache__", ".git", ".hg", ".venv", "node_modules"})
_LONG_AGO = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Source:
    """A script with what lies around it."""

    entry_script: str
    archive: bytes
    digest: str
    to_csv: str


def read_source(entry_script: str, source_directory: str | None, leave_out: Collection[Path] = ()) -> Source:
    """Read the script and what goes with it; `leave_out` are folders of ours that may lie inside the source directory."""
    script, top = locate(entry_script, source_directory)
    _check_syntax(script)
    files = _all_files(top, leave_out) if source_directory else sorted(path for path in top.glob("*.py") if path.is_file())
    if source_directory is None and script not in files:
        files = [script, *files]
    archive, digest = _archive(top, files)
    return Source(script.relative_to(top).as_posix(), archive, digest, _to_csv_settings(script.parent / SETTINGS_FILE))


def locate(entry_script: str, source_directory: str | None) -> tuple[Path, Path]:
    """The script and the folder that is shipped with it, which must be there."""
    if source_directory is None:
        script = Path(entry_script).absolute()
        if not script.is_file():
            raise ConfigError(f"entry_script={entry_script!r}: there is no file {script}")
        return script, script.parent
    top = Path(source_directory).absolute()
    if not top.is_dir():
        raise ConfigError(f"source_directory={source_directory!r}: there is no folder {top}")
    for script in (top / entry_script, Path(entry_script).absolute()):
        if script.is_file() and script.resolve().is_relative_to(top.resolve()):
            return top / script.resolve().relative_to(top.resolve()), top
    raise ConfigError(f"entry_script={entry_script!r}: there is no such file inside source_directory={source_directory!r}")


def _check_syntax(script: Path) -> None:
    """Say so now, not after a node has started a worker; whether `run` is there only the worker can tell."""
    try:
        ast.parse(script.read_bytes(), str(script))
    except (SyntaxError, ValueError) as error:
        where = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise ScriptError(f"the entry script {script} is not valid Python{where}: {error}") from error


def _all_files(top: Path, leave_out: Collection[Path]) -> list[Path]:
    left_out = {path.resolve() for path in leave_out}

    def below(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
        for entry in sorted(folder.iterdir()):
            real = entry.resolve()
            if entry.name in _NEVER or real in left_out:
                continue
            if entry.is_dir():
                if real in above:
                    raise ConfigError(f"the folder {entry} leads back to one above it by a link, so it never ends; remove the link")
                yield from below(entry, above | {real})
            elif entry.is_file():
                yield entry

    return list(below(top, frozenset({top.resolve()})))


def _archive(top: Path, files: list[Path]) -> tuple[bytes, str]:
    """The files as one archive, and a digest of their names, modes and content: compressed bytes differ between zlibs."""
    if unspeakable := [path for path in files if not str(path.relative_to(top)).isprintable()]:
        raise ConfigError([f"the name of the source file {str(path)!r} cannot be packed; rename it" for path in unspeakable])
    total = sum(path.stat().st_size for path in files)
    if total > MOST_BYTES:
        raise ConfigError(
            f"the source directory {top} holds {total / 1024**2:,.0f} MB, more than {MOST_BYTES // 1024**2} MB: "
            "keep code there, and give data as a model or a side input"
        )
    digest = hashlib.sha256()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            name, mode, content = path.relative_to(top).as_posix(), 0o755 if os.access(path, os.X_OK) else 0o644, path.read_bytes()
            digest.update(repr((name, mode, hashlib.sha256(content).hexdigest())).encode("utf-8", "surrogateescape"))
            entry = zipfile.ZipInfo(name, _LONG_AGO)
            entry.external_attr = mode << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return buffer.getvalue(), digest.hexdigest()


def _to_csv_settings(path: Path) -> str:
    """How frames become text: the original's settings file, if there is one beside the script."""
    if not path.is_file():
        return "{}"
    try:
        settings: Any = json.loads(path.read_text())
        chosen = settings.get("append_row", {}).get("pandas.DataFrame.to_csv", {})
        if not isinstance(chosen, dict):
            raise TypeError(f"pandas.DataFrame.to_csv is {chosen!r}, not an object")
    except (ValueError, AttributeError, TypeError) as error:
        raise ConfigError(f'{path} is not {{"append_row": {{"pandas.DataFrame.to_csv": {{...}}}}}}: {error}') from error
    return json.dumps(chosen, sort_keys=True)

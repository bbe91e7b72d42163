"""Packages that a test makes for itself, so that uv resolves and installs without a network; and an index that asks for a password."""

import base64
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

# The build of this package says that it has begun, and waits for its gate.
_WAITING_BACKEND = """
import os, time, zipfile

NAME, VERSION = {name!r}, {version!r}
GATE, BEGUN = {gate!r}, {begun!r}

def get_requires_for_build_wheel(config_settings=None):
    return []

def prepare_metadata_for_build_wheel(folder, config_settings=None):
    info = f"{{NAME}}-{{VERSION}}.dist-info"
    os.makedirs(os.path.join(folder, info))
    with open(os.path.join(folder, info, "METADATA"), "w") as file:
        file.write(f"Metadata-Version: 2.1\\nName: {{NAME}}\\nVersion: {{VERSION}}\\n")
    return info

def build_wheel(folder, config_settings=None, metadata_directory=None):
    open(BEGUN, "a").close()
    while not os.path.exists(GATE):
        time.sleep(0.02)
    file = f"{{NAME}}-{{VERSION}}-py3-none-any.whl"
    info = f"{{NAME}}-{{VERSION}}.dist-info"
    with zipfile.ZipFile(os.path.join(folder, file), "w") as wheel:
        wheel.writestr(f"{{NAME}}.py", f"__version__ = {{VERSION!r}}\\n")
        wheel.writestr(f"{{info}}/METADATA", f"Metadata-Version: 2.1\\nName: {{NAME}}\\nVersion: {{VERSION}}\\n")
        wheel.writestr(f"{{info}}/WHEEL", "Wheel-Version: 1.0\\nGenerator: tests\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{{info}}/RECORD", "")
    return file
"""


def make_wheel(folder: Path, name: str, version: str, requires: Iterable[str] = ()) -> Path:
    """A module of this name that knows its version."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {each}\n" for each in requires)
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", f"__version__ = {version!r}\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


def make_waiting_sdist(folder: Path, name: str, version: str, gate: Path, begun: Path) -> Path:
    """A package that is built when it is installed, and whose build waits until there is a gate."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}.tar.gz"
    files = {
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "backend.py": _WAITING_BACKEND.format(name=name, version=version, gate=str(gate), begun=str(begun)),
    }
    with tarfile.open(path, "w:gz") as archive:
        for file, text in files.items():
            member = tarfile.TarInfo(f"{name}-{version}/{file}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


@contextmanager
def private_index(folder: Path, user: str, password: str) -> Iterator[str]:
    """An index of the wheels in a folder, for those who know the password; its host and port."""
    known = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    class Index(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.strip("/").rpartition("/")[2]
            if self.headers.get("Authorization") != known:
                self._answer(401, b"who are you?", "text/plain", {"WWW-Authenticate": 'Basic realm="wheels"'})
            elif (folder / name).is_file():
                self._answer(200, (folder / name).read_bytes(), "application/octet-stream")
            else:
                links = "".join(f'<a href="/files/{path.name}">{path.name}</a>' for path in folder.glob(f"{name}-*.whl"))
                self._answer(200 if links else 404, links.encode(), "text/html")

        def _answer(self, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for header, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(header, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()

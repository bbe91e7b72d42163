"""The original, as one process for all tests; `make test-oracles` installs it."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / "build" / "original" / "bin" / "python"


class Original:
    """Answers one question at a time, and the same one only once."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._known: dict[str, dict[str, Any]] = {}
        self.names: list[str] = self._read()

    def accepts(self, arguments: Mapping[str, object], *, cluster_by_name: bool = False) -> bool:
        """Whether its constructor returns."""
        return bool(self._ask(what="make", arguments=_plain(arguments), by_name=cluster_by_name)["accepted"])

    def save(self, arguments: Mapping[str, object]) -> tuple[dict[str, Any], str]:
        """What it understood, and what its `save_to_yaml` wrote."""
        found = self._ask(what="save", arguments=_plain(arguments))
        assert found["accepted"], f"it refused {arguments}: {found['message']}"
        return found["says"], found["yaml"]

    def load(self, text: str) -> dict[str, Any]:
        """What its `load_yaml` understood."""
        found = self._ask(what="load", text=text)
        assert found["accepted"], f"{found['message']}, of\n{text}"
        return found

    def _ask(self, **question: object) -> dict[str, Any]:
        asked = json.dumps(question)
        if asked not in self._known:
            assert self._process.stdin
            self._process.stdin.write(asked + "\n")
            self._process.stdin.flush()
            self._known[asked] = self._read()
        return self._known[asked]

    def _read(self) -> Any:  # noqa: ANN401 - JSON
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, f"the original ended with {self._process.wait(10)}"
        return json.loads(line)


class Parameter:
    """A PipelineParameter there, a template here."""

    def __init__(self, default: object) -> None:
        self.default = default


def _plain(arguments: Mapping[str, object]) -> dict[str, object]:
    return {name: _special(value) for name, value in arguments.items()}


def _special(value: object) -> object:
    match value:
        case Path():
            return {"$path": str(value)}
        case tuple():
            return {"$tuple": list(value)}
        case bytes():
            return {"$bytes": value.decode()}
        case Parameter():
            return {"$parameter": value.default}
    return value


@pytest.fixture(scope="session")
def original() -> Iterator[Original]:
    assert PYTHON.exists(), "Azure ML's SDK is not installed: run make test-oracles"
    program = [PYTHON, "-X", "utf8", Path(__file__).with_name("original.py")]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
        yield Original(process)
        assert process.stdin
        process.stdin.close()
        process.wait(30)

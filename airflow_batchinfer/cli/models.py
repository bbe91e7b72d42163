"""`batchinfer models register|list|show|download|delete`."""

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import asdict

from airflow_batchinfer.cli.tables import print_table
from airflow_batchinfer.cli.values import named_values
from airflow_batchinfer.errors import Faults
from airflow_batchinfer.registry import ModelRegistry
from airflow_batchinfer.workspace import Workspace

_HEADS = ("model", "bytes", "registered", "digest", "tags", "properties", "description")
_MOST_CHARACTERS = 40


def register(options: argparse.Namespace) -> None:
    """Register, and print the version."""
    faults = Faults()
    tags = faults.attempt(lambda: named_values("--tag", options.tag))
    properties = faults.attempt(lambda: named_values("--property", options.property))
    faults.raise_any()
    model = ModelRegistry(Workspace.at(options.workspace)).register(
        options.name,
        options.path,
        tags=tags,
        properties=properties,
        description=options.description,
        always_new_version=options.always_new_version,
    )
    print(json.dumps(asdict(model)) if options.json else model.reference)


def list_models(options: argparse.Namespace) -> None:
    """Print every version."""
    registry = ModelRegistry(Workspace.at(options.workspace, to_read=True))
    models = [model for name in registry.names() for model in registry.versions(name)]
    if options.json:
        print(json.dumps([asdict(model) for model in models]))
        return
    cells = [
        (
            model.reference,
            f"{model.size_bytes:,}",
            _when(model.registered_at),
            model.digest[:12],
            _pairs(model.tags),
            _pairs(model.properties),
            _line(model.description or ""),
        )
        for model in models
    ]
    # What no model has needs no column.
    used = [column for column in range(len(_HEADS)) if any(row[column] for row in cells)]
    print_table([_HEADS[column] for column in used], [[row[column] for column in used] for row in cells], "no models are registered")


def show(options: argparse.Namespace) -> None:
    """Print one version."""
    model = ModelRegistry(Workspace.at(options.workspace, to_read=True)).resolve(options.reference)
    print(json.dumps(asdict(model), indent=2))


def download(options: argparse.Namespace) -> None:
    """Put a version's files into a folder, and print where."""
    print(ModelRegistry(Workspace.at(options.workspace, to_read=True)).download(options.reference, options.folder))


def delete(options: argparse.Namespace) -> None:
    """Delete, and print what was deleted."""
    for model in ModelRegistry(Workspace.at(options.workspace)).delete(options.reference):
        print(f"deleted {model.reference}")


def _when(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))


def _pairs(pairs: Mapping[str, str]) -> str:
    return _line(" ".join(f"{name}={value}" for name, value in sorted(pairs.items())))


def _line(text: str) -> str:
    """What fits into a cell, and means nothing to a terminal."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= _MOST_CHARACTERS else f"{line[: _MOST_CHARACTERS - 1]}…"

"""`batchinfer models register|list|show|delete`."""

import argparse
import json
import time
from dataclasses import asdict

from airflow_batchinfer.cli.run import named_values
from airflow_batchinfer.cli.tables import print_table
from airflow_batchinfer.registry import ModelRegistry
from airflow_batchinfer.workspace import Workspace


def register(options: argparse.Namespace) -> None:
    """Register, and print the version."""
    registry = ModelRegistry(Workspace.at(options.workspace))
    model = registry.register(options.name, options.path, tags=named_values("--tag", options.tag), description=options.description)
    print(json.dumps(asdict(model)) if options.json else model.reference)


def list_models(options: argparse.Namespace) -> None:
    """Print every version."""
    registry = ModelRegistry(Workspace.at(options.workspace, to_read=True))
    models = [model for name in registry.names() for model in registry.versions(name)]
    if options.json:
        print(json.dumps([asdict(model) for model in models]))
        return
    rows = [(model.reference, f"{model.size_bytes:,}", _when(model.registered_at), model.digest[:12]) for model in models]
    print_table(("model", "bytes", "registered", "digest"), rows, "no models are registered")


def show(options: argparse.Namespace) -> None:
    """Print one version."""
    model = ModelRegistry(Workspace.at(options.workspace, to_read=True)).resolve(options.reference)
    print(json.dumps(asdict(model), indent=2))


def delete(options: argparse.Namespace) -> None:
    """Delete, and print what was deleted."""
    for model in ModelRegistry(Workspace.at(options.workspace)).delete(options.reference):
        print(f"deleted {model.reference}")


def _when(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))

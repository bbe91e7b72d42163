"""`batchinfer datasets register|list|show|delete`."""

import argparse
import json
import time

from airflow_batchinfer.cli.inputs import dataset_of
from airflow_batchinfer.cli.tables import print_table
from airflow_batchinfer.cli.values import named_values
from airflow_batchinfer.datasets import Dataset, FileDataset, list_items
from airflow_batchinfer.registry import DatasetRegistry
from airflow_batchinfer.workspace import Workspace


def register(options: argparse.Namespace) -> None:
    """Register, and print the version."""
    dataset = dataset_of(options, options.urls)
    dataset = dataset if options.skip is None else dataset.skip(options.skip)
    dataset = dataset if options.take is None else dataset.take(options.take)
    registered = DatasetRegistry(Workspace.at(options.workspace)).register(
        options.name,
        dataset,
        description=options.description,
        tags=named_values("--tag", options.tag),
        create_new_version=options.create_new_version,
        validate=not options.no_validate,
    )
    print(json.dumps(registered.as_plain()) if options.json else registered.reference)


def list_datasets(options: argparse.Namespace) -> None:
    """Print every version."""
    registry = DatasetRegistry(Workspace.at(options.workspace, to_read=True))
    found = [registered for name in registry.names() for registered in registry.versions(name)]
    if options.json:
        print(json.dumps([registered.as_plain() for registered in found]))
        return
    rows = [(registered.reference, _when(registered.registered_at), str(registered.dataset)) for registered in found]
    print_table(("dataset", "registered", "files"), rows, "no datasets are registered")


def show(options: argparse.Namespace) -> None:
    """Print one version, and on demand how much it is now."""
    registered = DatasetRegistry(Workspace.at(options.workspace, to_read=True)).resolve(options.reference)
    counts = _counts(registered.dataset) if options.count else {}
    print(json.dumps({**registered.as_plain(), **counts}, indent=2))


def delete(options: argparse.Namespace) -> None:
    """Delete, and print what was deleted."""
    for registered in DatasetRegistry(Workspace.at(options.workspace)).delete(options.reference):
        print(f"deleted {registered.reference}")


def _counts(dataset: Dataset) -> dict[str, int]:
    """How many files there are now, and of how many bytes; the rows of a table are not counted."""
    files = dataset if isinstance(dataset, FileDataset) else FileDataset(dataset.paths)
    sizes = [item.size for item in list_items(files)]
    return {"items" if files is dataset else "files": len(sizes), "bytes": sum(sizes)}


def _when(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))

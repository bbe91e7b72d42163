"""What is to be scored: which files, found how, and how they are read where they are tables. Nothing here reads their content.

A dataset is a value that can be stored as JSON; `listing` turns one into files in sorted order, without holding them.
"""

from collections.abc import Mapping
from typing import Any

from airflow_batchinfer.datasets.dataset import REFERENCE_PREFIX, Dataset, KnownLater, is_reference
from airflow_batchinfer.datasets.file_dataset import FileDataset
from airflow_batchinfer.datasets.listing import Item, list_items
from airflow_batchinfer.datasets.tabular_dataset import TableForm, TabularDataset

__all__ = [
    "REFERENCE_PREFIX",
    "Dataset",
    "FileDataset",
    "Item",
    "KnownLater",
    "TableForm",
    "TabularDataset",
    "dataset_from_plain",
    "is_reference",
    "list_items",
]


def dataset_from_plain(plain: Mapping[str, Any]) -> FileDataset | TabularDataset:
    """A dataset of whichever kind from its plain form."""
    return (TabularDataset if plain.get("kind") == "table" else FileDataset).from_plain(plain)

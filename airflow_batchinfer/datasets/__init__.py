"""What is to be scored: which files, found how. Nothing here reads their content.

A dataset is a value that can be stored as JSON; `listing` turns one into items in sorted order, without holding them.
"""

from airflow_batchinfer.datasets.file_dataset import REFERENCE_PREFIX, FileDataset, KnownLater, is_reference
from airflow_batchinfer.datasets.listing import Item, list_items

__all__ = ["REFERENCE_PREFIX", "FileDataset", "Item", "KnownLater", "is_reference", "list_items"]

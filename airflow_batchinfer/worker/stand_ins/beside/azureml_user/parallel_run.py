"""`EntryScript`, by its longer address."""

from _batchinfer_unserved import names_of
from entry_script import EntryScript

__all__ = ["EntryScript"]
__getattr__ = names_of(__name__)

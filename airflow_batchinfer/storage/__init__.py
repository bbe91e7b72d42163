"""The few durable-write idioms that everything stands on: create-exclusive, replace, streams that abort.

A `Store` is a folder on any storage. Nothing here knows what the folder holds (that is `workspace`); what is written is
visible whole or not at all, whatever dies in between. fsspec alone is not enough for that: its base class checks and
then writes, its local "xb" shows readers an empty file, and leaving `with fs.open(path, "wb")` by an exception finalises
the upload.
"""

from airflow_batchinfer.storage.azure import blobs_below, check_name, is_azure
from airflow_batchinfer.storage.connections import as_given, look_connections_up_with, split_connection, split_protocol, with_connection
from airflow_batchinfer.storage.insisting import insist
from airflow_batchinfer.storage.local import LocalStore
from airflow_batchinfer.storage.opening import comparable, is_local, local_path, open_file_system, open_output, open_store
from airflow_batchinfer.storage.probe import probe, probe_output
from airflow_batchinfer.storage.remote import RemoteStore
from airflow_batchinfer.storage.store import Store, copy_file, copy_tree

__all__ = [
    "LocalStore",
    "RemoteStore",
    "Store",
    "as_given",
    "blobs_below",
    "check_name",
    "comparable",
    "copy_file",
    "copy_tree",
    "insist",
    "is_azure",
    "is_local",
    "local_path",
    "look_connections_up_with",
    "open_file_system",
    "open_output",
    "open_store",
    "probe",
    "probe_output",
    "split_connection",
    "split_protocol",
    "with_connection",
]

"""What Airflow is told of this package, by the entry point `apache_airflow_provider`. Imports nothing: every Airflow process loads it."""

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """The connection type with its form, and the command line."""
    text = {"type": ["string", "null"]}
    return {
        "package-name": "airflow-batchinfer",
        "name": "Batch inference",
        "description": "Scheduled batch scoring with an entry script: every row exactly once, resumable after anything.",
        "hooks": [
            {
                "integration-name": "Batch inference",
                "python-modules": ["airflow_batchinfer.hooks.workspace", "airflow_batchinfer.hooks.scoring_service"],
            }
        ],
        "operators": [
            {
                "integration-name": "Batch inference",
                "python-modules": [
                    "airflow_batchinfer.operators.parallel_run",
                    "airflow_batchinfer.operators.register_model",
                    "airflow_batchinfer.operators.scoring_service",
                ],
            }
        ],
        "sensors": [{"integration-name": "Batch inference", "python-modules": ["airflow_batchinfer.operators.service_sensor"]}],
        "integrations": [{"integration-name": "Batch inference", "external-doc-url": "", "tags": ["software"]}],
        "connection-types": [
            {
                "connection-type": "batchinfer",
                "hook-class-name": "airflow_batchinfer.hooks.workspace.WorkspaceHook",
                "hook-name": "Batch inference workspace",
                "conn-fields": {
                    "root": {
                        "label": "Workspace root",
                        "schema": text,
                        "description": "A folder that all workers share: /mnt/shared/batchinfer, s3://bucket/batchinfer, abfs://container/batchinfer.",
                    },
                    "storage_conn_id": {
                        "label": "Storage connection",
                        "schema": text,
                        "description": "The connection for the root's storage; empty where the machine's own credentials do.",
                    },
                },
                "ui-field-behaviour": {"hidden-fields": ["host", "schema", "login", "password", "port", "extra"], "relabeling": {}},
            }
        ],
        "cli": ["airflow_batchinfer.provider.command.get_commands"],
    }

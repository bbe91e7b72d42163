"""What the cluster of the tests changes of what docker-compose.yaml says: a dead worker is noticed sooner, and GPUs are pretended."""

ENVIRONMENT = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
}
OF_A_SERVICE = {"worker-gpu": {"AIRFLOW__CELERY__WORKER_CONCURRENCY": "2", "BATCHINFER_GPUS": "0,1"}}
REPLICAS = {"worker-gpu": 2}

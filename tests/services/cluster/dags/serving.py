"""A service on the worker's machine, asked from there, and not to be deployed from another."""

from airflow.sdk import DAG, task

from airflow_batchinfer import DeleteScoringService, DeployScoringService, InferenceConfig, RegisterModel, ServiceConfig


def deployment(task_id: str, **more: object) -> DeployScoringService:
    return DeployScoringService(
        task_id=task_id,
        name="says-where",
        models=["mnist"],
        inference_config=InferenceConfig(source_directory="entry_scripts", entry_script="says_where.py"),
        service_config=ServiceConfig(num_replicas=1),
        **more,
    )


@task
def ask():
    import requests

    from airflow_batchinfer.hooks.scoring_service import ScoringServiceHook

    service = ScoringServiceHook()
    status, keys = service.status("says-where"), service.get_keys("says-where")
    answer = requests.post(status["scoring_uri"], data="", headers={"Authorization": f"Bearer {keys[0]}"}, timeout=30)
    answer.raise_for_status()
    return {"state": status["state"], "revision": status["revision"], "answer": answer.json()}


with DAG("serves", schedule=None):
    model = RegisterModel(task_id="register_model", model_name="mnist", model_path="trained/mnist")
    model >> deployment("deploy") >> ask() >> deployment("elsewhere", queue="gpu", retries=2)

with DAG("asks", schedule=None):
    ask() >> DeleteScoringService(task_id="delete", name="says-where")

"""Lesson 10: a service for as long as a test. How long does an answer take, before anybody depends on it?

`delete` is the teardown of `deploy`: it comes whatever became of the tasks between, and then nothing of the service is left. A test that
fails still fails the run. One run at a time, since both would want the same name.
"""

from airflow.sdk import DAG, Param, task

from airflow_batchinfer import DeleteScoringService, DeployScoringService, InferenceConfig, ServiceConfig

NAME = "digit-reader-on-trial"

with DAG("try_a_service", schedule=None, max_active_runs=1, doc_md=__doc__, params={"most_ms": Param(1000, minimum=1)}):
    deploy = DeployScoringService(
        task_id="deploy",
        name=NAME,
        models=["mnist"],
        inference_config=InferenceConfig(entry_script="entry_scripts/digit_scoring.py"),
        service_config=ServiceConfig(num_replicas=1),
        sample_input={"data": [[0] * 784]},  # so the first request, which is slow in TensorFlow, is ours
    )
    delete = DeleteScoringService(task_id="delete", name=NAME)

    @task
    def measure(deployed: dict, params: dict | None = None) -> dict[str, float]:
        """Milliseconds, of 100 requests one after the other."""
        import statistics
        from time import perf_counter

        import requests

        from airflow_batchinfer.hooks.scoring_service import ScoringServiceHook

        took = []
        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {ScoringServiceHook().get_keys(deployed['name'])[0]}"
            for number in range(100):
                began = perf_counter()
                answer = session.post(deployed["scoring_uri"], json={"data": [[number] * 784]}, timeout=60)
                answer.raise_for_status()
                took.append(1000 * (perf_counter() - began))
        measured = {"median": round(statistics.median(took), 1), "slowest": round(max(took), 1)}
        if measured["median"] > params["most_ms"]:
            raise ValueError(f"an answer takes too long: {measured}")
        return measured

    measure(deploy.output) >> delete.as_teardown(setups=deploy)

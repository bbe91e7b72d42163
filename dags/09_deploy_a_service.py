"""Lesson 9: score, and then put the model that scored behind a key, as a service that answers at once.

`deploy` ends when the service is Healthy. Run it again: nothing has changed, so nothing is done. Change the script or the model, and the
next run updates it without losing a request; if the new one fails, the old one goes on and the task tells why.

The service is this machine's, not the task's: it answers until it is deleted, by `airflow batchinfer services delete digit-reader`. In
`make up` it ends with Airflow, as everything does there, and the next run starts it again. Lesson 10 deletes what it deploys.
"""

from itertools import islice

from airflow.sdk import DAG, Param, task

from airflow_batchinfer import DeployScoringService, InferenceConfig, ParallelRunConfig, ParallelRunOperator, RegisterModel, ServiceConfig

with DAG("serve_digits", schedule=None, doc_md=__doc__, params={"replicas": Param(1, type="integer", minimum=1)}):
    model = RegisterModel(task_id="register_model", model_name="mnist", model_path="trained/mnist")
    score = ParallelRunOperator(
        task_id="score",
        config=ParallelRunConfig(entry_script="entry_scripts/digit_identification.py", error_threshold=0, process_count_per_node=1),
        inputs="digits/digit_000?.png",
        models=[model.output],
    )
    deploy = DeployScoringService(
        task_id="deploy",
        name="digit-reader",
        models=[model.output],
        inference_config=InferenceConfig(entry_script="entry_scripts/digit_scoring.py"),
        service_config=ServiceConfig(num_replicas="{{ params.replicas }}"),
        sample_input={"data": [[0] * 784]},
    )

    @task
    def compare(predictions: str, deployed: dict) -> int:
        """Ask for images that were scored: the service must say the same. How many they were."""
        import numpy as np
        import requests
        from PIL import Image

        from airflow_batchinfer.hooks.scoring_service import ScoringServiceHook
        from airflow_batchinfer.hooks.storage import open_file
        from airflow_batchinfer.hooks.workspace import WorkspaceHook

        with open_file(predictions) as rows:
            scored = dict(row.decode().strip().split(": ") for row in islice(rows, 5))
        images = []
        for name in scored:
            with open_file(f"{WorkspaceHook().get_conn().url}/digits/{name}") as file:
                images.append(np.asarray(Image.open(file)).reshape(784).tolist())
        primary, _ = ScoringServiceHook().get_keys(deployed["name"])
        asked = {"json": {"data": images}, "headers": {"Authorization": f"Bearer {primary}"}, "timeout": 60}
        answer = requests.post(deployed["scoring_uri"], **asked)  # noqa: S113 - it has one
        answer.raise_for_status()
        if list(map(str, answer.json())) != list(scored.values()):
            raise ValueError(f"the service says {answer.text}, and the step said {scored}")
        return len(scored)

    score >> deploy
    compare(score.output, deploy.output)

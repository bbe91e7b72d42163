"""What test_p8 reads besides: all that a DAG says of a service."""

from airflow.sdk import DAG

from airflow_batchinfer import (
    DeleteScoringService,
    DeployScoringService,
    InferenceConfig,
    LocalTarget,
    RegenerateKey,
    RegisterModel,
    ScoringServiceSensor,
    ServiceConfig,
)

with DAG("services", schedule=None):
    model = RegisterModel(task_id="register_model", model_name="mnist", model_path="trained/mnist")
    deploy = DeployScoringService(
        task_id="deploy",
        name="digits",
        models=[model.output],
        inference_config=InferenceConfig(source_directory="../entry_scripts", entry_script="no_op.py"),
        service_config=ServiceConfig(num_replicas=2, primary_key="{{ conn.digits.password }}"),
        target=LocalTarget(port=8500),
        sample_input={"data": [[0] * 784]},
    )
    wait = ScoringServiceSensor(task_id="wait", name="digits")
    delete = DeleteScoringService(task_id="delete", name="digits").as_teardown(setups=deploy)
    deploy >> wait >> RegenerateKey(task_id="rotate", name="digits") >> delete

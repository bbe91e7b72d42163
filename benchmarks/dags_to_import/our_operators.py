"""P8's first file: a model and a step that scores with it, every kind of argument given."""

from airflow.sdk import DAG, Param

from airflow_batchinfer import ComputeTarget, FileDataset, ParallelRunConfig, ParallelRunOperator, RegisterModel

with DAG("our_operators", schedule=None, params={"input": Param("digits/*.png")}):
    model = RegisterModel(task_id="register_model", model_name="mnist", model_path="trained/mnist")
    score = ParallelRunOperator(
        task_id="score",
        config=ParallelRunConfig(
            source_directory="../entry_scripts",
            entry_script="no_op.py",
            error_threshold=10,
            compute_target=ComputeTarget(pool="gpu_pool", queue="gpu"),
        ),
        inputs=[FileDataset.from_files("{{ params.input }}")],
        models=[model.output],
        side_inputs={"labels": "labels/"},
        arguments=["--labels", "{labels}"],
    )
    model >> score

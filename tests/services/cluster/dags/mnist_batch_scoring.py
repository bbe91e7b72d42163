"""Score a container of images on the GPU workers: the DAG of the README, with a script that needs no TensorFlow."""

from datetime import timedelta

from airflow.sdk import DAG, Param

from airflow_batchinfer import ComputeTarget, FileDataset, ParallelRunConfig, ParallelRunOperator, RegisterModel

with DAG(
    "mnist_batch_scoring",
    schedule=None,
    params={
        "input": Param("abfs://azurite@digits/*.png"),
        "node_count": Param(4, type="integer", minimum=1),
        "seconds": Param(0.05, description="How long one image takes"),
    },
):
    model = RegisterModel(task_id="register_model", model_name="mnist", model_path="trained/mnist")
    score = ParallelRunOperator(
        task_id="predict-digits-mnist",
        config=ParallelRunConfig(
            source_directory="entry_scripts",
            entry_script="first_byte.py",
            mini_batch_size="5",
            error_threshold=0,
            append_row_file_name="mnist_outputs.txt",
            node_count="{{ params.node_count }}",
            process_count_per_node=1,
            compute_target=ComputeTarget(pool="gpu_pool", queue="gpu"),
        ),
        inputs=[FileDataset.from_files("{{ params.input }}")],
        models=[model.output],
        side_inputs={"labels": "labels/"},
        arguments=["--labels", "{labels}", "--seconds", "{{ params.seconds }}"],
        allow_reuse=False,
        retry_delay=timedelta(seconds=1),
    )
    model >> score

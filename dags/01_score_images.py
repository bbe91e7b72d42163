"""Lesson 1: score images with a model, in parallel, and use the result.

`make demo` runs this DAG. Its paths count from the workspace, the script's from this file's folder.
"""

from airflow.sdk import DAG, Param, task

from airflow_batchinfer import ComputeTarget, FileDataset, ParallelRunConfig, ParallelRunOperator, RegisterModel

with DAG(
    "mnist_batch_scoring",
    schedule=None,
    doc_md=__doc__,
    params={
        "input": Param("digits/*.png", description="Which images to score"),
        "mini_batch_size": Param("5", description="How many of them one call of run() gets"),
        "node_count": Param(2, type="integer", minimum=1),
        "process_count": Param(2, type="integer", minimum=1),
    },
):
    model = RegisterModel(
        task_id="register_model", model_name="mnist", model_path="trained/mnist", tags={"pretrained": "mnist"}, description="Digits, 28x28"
    )
    score = ParallelRunOperator(
        task_id="predict-digits-mnist",
        config=ParallelRunConfig(
            source_directory="entry_scripts",
            entry_script="digit_identification.py",
            mini_batch_size="{{ params.mini_batch_size }}",
            error_threshold=10,
            append_row_file_name="mnist_outputs.txt",
            node_count="{{ params.node_count }}",
            process_count_per_node="{{ params.process_count }}",
            compute_target=ComputeTarget(pool="gpu_pool", queue="gpu"),
        ),
        inputs=[FileDataset.from_files("{{ params.input }}")],
        models=[model.output],
        side_inputs={"labels": "labels/"},
        arguments=["--labels", "{labels}"],
    )

    @task
    def count_digits(predictions: str) -> dict[str, int]:
        """The path of the result is the step's output."""
        import pandas as pd

        from airflow_batchinfer.hooks.storage import open_file

        with open_file(predictions) as rows:  # wherever the workspace lies
            table = pd.read_csv(rows, sep=": ", names=["file", "digit"], engine="python")
        return {str(digit): int(files) for digit, files in table["digit"].value_counts().items()}

    model >> score
    count_digits(score.output)

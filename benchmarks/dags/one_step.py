"""Our side of S4 and S5: the same scoring as one step on one node."""

from airflow.sdk import DAG, Param

from airflow_batchinfer import ParallelRunConfig, ParallelRunOperator

with DAG(
    "one_step",
    schedule=None,
    doc_md=__doc__,
    params={name: Param("", type="string") for name in ("script", "folder", "mini_batch_size", "processes", "output")},
):
    ParallelRunOperator(
        task_id="score",
        config=ParallelRunConfig(
            entry_script="{{ params.script }}",
            error_threshold=0,
            mini_batch_size="{{ params.mini_batch_size }}",
            append_row_file_name="rows.txt",
            node_count=1,
            process_count_per_node="{{ params.processes }}",
        ),
        inputs="{{ params.folder }}",
        output_dir="{{ params.output }}",
        allow_reuse=False,  # every run is measured on a new job
        retries=0,
    )

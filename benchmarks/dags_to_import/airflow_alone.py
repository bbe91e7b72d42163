"""P8's second file: the same tasks in the same group, with an operator that comes with Airflow."""

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Param, TaskGroup

with DAG("airflow_alone", schedule=None, params={"input": Param("digits/*.png")}):
    register_model = BashOperator(task_id="register_model", bash_command="register trained/mnist")
    with TaskGroup("score") as score:
        plan = BashOperator(task_id="plan", bash_command="plan '{{ params.input }}'", retries=2)
        run = BashOperator.partial(task_id="run", pool="gpu_pool", queue="gpu", retries=2).expand(bash_command=plan.output)
        merge = BashOperator(task_id="merge", bash_command="merge", retries=2, trigger_rule="all_done_min_one_success")
        plan >> run >> merge
        plan >> merge
    register_model >> score

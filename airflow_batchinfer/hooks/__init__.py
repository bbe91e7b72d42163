"""What Airflow's connections say of the workspace and of storage. The only place that asks for a connection."""

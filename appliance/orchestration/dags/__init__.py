"""The Airflow DAG of the retrain pipeline. Its one module runs in Airflow's environment, which has no `appliance`."""

"""When and where: the retrain pipeline, its journal, verification, and the generated Airflow DAG."""

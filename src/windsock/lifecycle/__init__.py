"""Changes that span runs, task instances, DAGs and datasets, written as Airflow's scheduler reads them."""

"""The Airflow stable REST API, version 1, served straight from an Airflow metadata database."""

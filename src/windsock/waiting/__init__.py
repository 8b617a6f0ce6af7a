"""Answers that wait for a run of a DAG to end, any number of them on one poll of the database."""

"""Deploying a service: create or update it by its name, wait for it, look at it, take it back, delete it.

What is asked is a `spec` with a hash; where it runs is a `target`, the seam, which keeps one revision serving while the next one comes
up. Nothing here knows Airflow, and nothing here answers a request: that is `service`.
"""

"""Locust files: one scenario each, `python -m locust -f loadtest/scenarios/NAME.py`."""

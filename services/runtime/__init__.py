"""What every process stands on: time, settings, HTTP, lifecycle, telemetry.

Knows no process and no gateway.
"""

"""The hosts that are measured, one file each; a file is imported in the process of its host alone."""

from services.bench.engine.hosts.choose import host_of

__all__ = ["host_of"]

"""`rankgr`, the command line: one file per command; heavy imports happen inside the commands that need them."""

from services.cli.app import main

__all__ = ["main"]

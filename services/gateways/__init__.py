"""One folder per outside system: `port.py` says the need, its neighbours meet it.

Only main files build adapters.
"""

"""The inference engine's benchmark: every host on the same weights and users, in turns, lists compared.

`run` is where to start reading; each host is a process of its own (`worker`), so that memory is one host's alone.
"""

"""The engine's second host: vLLM's queue, scheduler and paged cache around the same two-stage search.

`host` meets the port of `decoding_host`; what runs inside vLLM's worker is `services.engine.vllm_plugin`.
"""

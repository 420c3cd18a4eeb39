"""vLLM's own beam search, held to the catalogue's trie: what the benchmark puts beside our hosts.

No rank head, no code of ours inside the model: a plain Qwen2, and one logits processor that masks.
"""

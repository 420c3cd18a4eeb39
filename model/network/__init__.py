"""The network: a Qwen2 backbone under Hugging Face's names, the rank head, and their configuration."""

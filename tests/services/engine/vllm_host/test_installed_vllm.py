"""What only a GPU can run, held against the installed package: names, arguments and shapes that it relies on."""

from __future__ import annotations

import ast
import inspect
from importlib.util import find_spec
from pathlib import Path

from services.engine.vllm_plugin.names import RSP_PROCESSOR, RSP_PROCESSOR_V2, VLLM_VERSION

from .hosts import STARTS_VLLM

pytestmark = STARTS_VLLM


def text_of(module: str) -> str:
    """A module's source, read without importing it: some need a GPU for that."""
    package, *inside = module.split(".")
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0], *inside).with_suffix(".py").read_text()


def source_of(module: str) -> ast.Module:
    return ast.parse(text_of(module))


def test_the_version_is_the_one_that_was_tested() -> None:
    import vllm

    assert vllm.__version__.split("+")[0] == VLLM_VERSION


def test_flash_attention_takes_what_it_is_given() -> None:
    functions = {
        node.name: node
        for node in ast.walk(source_of("vllm.vllm_flash_attn.flash_attn_interface"))
        if isinstance(node, ast.FunctionDef)
    }
    takes = {argument.arg for argument in functions["flash_attn_varlen_func"].args.args}
    ours = next(
        node
        for node in ast.walk(source_of("services.engine.vllm_plugin.paged_prompt"))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "flash_attn_varlen_func"
    )
    assert {keyword.arg for keyword in ours.keywords} <= takes
    # The cache is taken apart as vLLM's own backend does it.
    assert "kv_cache.transpose(1, 2)" in text_of("vllm.v1.attention.backends.flash_attn")


def test_both_processors_have_their_runners_interface() -> None:
    from vllm.v1.sample.logits_processor import LogitsProcessor as V1
    from vllm.v1.sample.logits_processor import _load_logitsprocs_by_fqcns
    from vllm.v1.worker.gpu.sample.logits_processor import LogitsContext, LogitsProcRequestState
    from vllm.v1.worker.gpu.sample.logits_processor import LogitsProcessor as V2
    from vllm.v1.worker.gpu.sample.logits_processor.loader import _load_v2_logitsprocs_by_fqcns

    (first,) = _load_logitsprocs_by_fqcns([RSP_PROCESSOR])
    (second,) = _load_v2_logitsprocs_by_fqcns([RSP_PROCESSOR_V2])
    for ours, theirs in ((first, V1), (second, V2)):
        assert issubclass(ours, theirs)
        assert not inspect.isabstract(ours)
    assert {"expanded_idx_mapping", "pos"} <= set(LogitsContext.__dataclass_fields__)
    assert "all_token_ids" in LogitsProcRequestState.__dataclass_fields__
    for name in ("__init__", "apply", "add_request"):
        ours, theirs = (list(inspect.signature(getattr(kind, name)).parameters) for kind in (second, V2))
        assert ours == theirs, name


def test_vllms_second_runner_takes_the_pooled_form() -> None:
    tree = source_of("vllm.v1.worker.gpu.pool.pooling_runner")
    text = ast.unparse(tree)
    assert "'embed'" in text
    assert "build_pooling_cursor" in text
    assert "self.model.pooler(hidden_states, pooling_metadata)" in text

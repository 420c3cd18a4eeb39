"""From a host's name to the host; the import happens here, so that no process loads what it does not measure."""

from __future__ import annotations

from contracts.errors import BadRequest
from services.bench.engine.host import Host
from services.bench.engine.messages import Start


def host_of(start: Start) -> Host:
    """Load the host.  Raises RankGRError."""
    match start.host:
        case "torch":
            from services.bench.engine.hosts.torch_host import TorchHost

            return TorchHost(start)
        case "vllm" | "vllm_logits_processor":
            from services.bench.engine.hosts.vllm_hosts import VllmBench

            return VllmBench(start)
        case "naive_rsp" | "reference":
            from services.bench.engine.hosts.naive_rsp import NaiveRsp

            return NaiveRsp(start)
        case "hf_beam_search":
            from services.bench.engine.hosts.hf_beam_search import HfBeamSearch

            return HfBeamSearch(start)
        case "vllm_beam_search":
            from services.bench.engine.hosts.vllm_beam_search import VllmBeamSearchHost

            return VllmBeamSearchHost(start)
        case name:
            raise BadRequest(f"no host is called {name!r}")

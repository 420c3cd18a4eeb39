"""`rankgr recommend`: a history on the command line, the items a bundle recommends for it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contracts.behaviors import LEVEL_OF
from contracts.errors import BadRequest, RankGRError
from services.cli.data import AsJson
from services.cli.output import emit, people
from services.cli.parse import integers, unix_ms, words

if TYPE_CHECKING:
    from model.bundle.read import Bundle
    from model.decoding.request import DecodeRequest, DecodeResult
    from model.prompt import Prompt


class Host(StrEnum):
    """Which implementation decodes."""

    TORCH = "torch"
    VLLM = "vllm"
    REFERENCE = "reference"


def recommend(
    bundle: Annotated[Path, typer.Argument(help="A bundle directory.")],
    items: Annotated[str, typer.Option(help="The history's item ids, oldest first: 12,55,901.")],
    behaviors: Annotated[
        str, typer.Option(help="What was done with each: click,click,purchase. Default: clicks.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many items to print.")] = 20,
    exclude: Annotated[str, typer.Option(help="Item ids never to recommend.")] = "",
    beams: Annotated[str, typer.Option(help="Beam width per level; default: the bundle's.")] = "",
    lambdas: Annotated[str, typer.Option(help="Candidate codes per level and prefix; default: the bundle's.")] = "",
    scene: Annotated[str | None, typer.Option(help="The scene, as home or search.")] = None,
    at: Annotated[str | None, typer.Option(help="When: Unix milliseconds or 2026-01-31T18:30.")] = None,
    host: Annotated[Host, typer.Option(help="torch and vllm are fast, reference slow and obvious.")] = Host.TORCH,
    explain: Annotated[bool, typer.Option("--explain", help="Show the prompt and the scores of every level.")] = False,
    as_json: AsJson = False,
) -> None:
    """Recommend items for a history."""
    from model.bundle.read import read_bundle
    from model.decoding.request import DecodeRequest
    from model.prompt import PromptContext, prompt_from_history

    history = integers(items, "--items")
    levels = _levels(behaviors, len(history))
    context = PromptContext.at(scene=scene, timestamp_ms=None if at is None else unix_ms(at, "--at"), device=None)
    widths = integers(beams, "--beams") or None, integers(lambdas, "--lambdas") or None
    left_out = frozenset(integers(exclude, "--exclude"))
    opened = read_bundle(bundle)
    prompt = prompt_from_history(opened.prompt_format, opened.catalog, history, levels, context)
    request = DecodeRequest(
        tokens=prompt.tokens,
        beams=widths[0],
        lambdas=widths[1],
        exclude=left_out,
        max_items=limit,
    )
    result = _decode(opened, request, host)
    if as_json:
        emit(_as_json(opened, prompt, result, explain))
    else:
        _print(opened, prompt, result, explain)


def _levels(behaviors: str, count: int) -> list[int]:
    names = words(behaviors) or ("click",) * count
    if len(names) != count:
        raise typer.BadParameter(f"{len(names)} behaviours for {count} items", param_hint="--behaviors")
    if unknown := [name for name in names if name not in LEVEL_OF]:
        known = ", ".join(LEVEL_OF)
        raise typer.BadParameter(f"{unknown[0]!r} is none of {known}", param_hint="--behaviors")
    return [int(LEVEL_OF[name]) for name in names]


def _decode(bundle: Bundle, request: DecodeRequest, host: Host) -> DecodeResult:
    from model.decoding.reference import ReferenceDecoder
    from model.decoding.two_stage import TwoStageDecoder

    if host is Host.VLLM:
        from services.engine.vllm_host.once import decode_once

        return decode_once(bundle, request)
    network = bundle.network()
    if host is Host.REFERENCE:
        return ReferenceDecoder(network, bundle.config, bundle.catalog, neighbours=bundle.neighbours)(request)
    result = TwoStageDecoder(network, bundle.catalog, neighbours=bundle.neighbours)([request])[0]
    if isinstance(result, RankGRError):
        raise BadRequest(str(result)) from result
    return result


def _as_json(bundle: Bundle, prompt: Prompt, result: DecodeResult, explain: bool) -> dict[str, object]:
    rows = zip(
        result.item_id.tolist(),
        result.score.tolist(),
        result.codes.tolist(),
        result.iap_logprob.tolist(),
        result.rsp_logscore.tolist(),
        strict=True,
    )
    content: dict[str, object] = {
        "model_version": bundle.manifest.model_version,
        "catalog_version": bundle.manifest.catalog_version,
        "unknown_items": list(prompt.unknown_items),
        "items": [
            {
                "item_id": item,
                "score": score,
                "sid": sid,
                "levels": [{"iap_logprob": iap, "rsp_logscore": rsp} for iap, rsp in zip(iaps, rsps, strict=True)],
            }
            for item, score, sid, iaps, rsps in rows
        ],
        "timings_ms": {name: round(ms, 3) for name, ms in result.timings_ms.items()},
    }
    if explain:
        content["prompt_tokens"] = prompt.tokens.tolist()
        content["key_positions"] = _key_positions(bundle, prompt)
    return content


def _key_positions(bundle: Bundle, prompt: Prompt) -> list[int]:
    """Prompt positions whose states the rank head attends to, beside h_1 .. h_l."""
    positions: list[int] = prompt.key_positions.tolist()
    return list(range(len(prompt.tokens))) if bundle.config.rank_head.keys == "all" else positions


def _print(bundle: Bundle, prompt: Prompt, result: DecodeResult, explain: bool) -> None:
    out = people()
    if prompt.unknown_items:
        out.print(f"not in the catalogue, left out: {', '.join(map(str, prompt.unknown_items))}")
    if explain:
        out.print(f"prompt tokens: {' '.join(map(str, prompt.tokens.tolist()))}")
        out.print(f"rank-head keys at: {' '.join(map(str, _key_positions(bundle, prompt)))}")
    for place in range(len(result.item_id)):
        item = int(result.item_id[place])
        sid = "-".join(map(str, result.codes[place].tolist()))
        out.print(f"{place + 1:4d}  {result.score[place]:9.4f}  {sid:>12}  {item:>10}  {bundle.catalog.title_of(item)}")
        if explain:
            for level in range(result.codes.shape[1]):
                iap, rsp = result.iap_logprob[place, level], result.rsp_logscore[place, level]
                out.print(f"      level {level + 1}: IAP log p {iap:9.4f}   RSP log s {rsp:9.4f}")

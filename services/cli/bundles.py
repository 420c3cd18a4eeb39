"""`rankgr bundles`: what the bundle store holds, what is served from it, and moves forward and back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.data import AsJson
from services.cli.evaluate import SplitName
from services.cli.output import emit, note, people

if TYPE_CHECKING:
    from services.bundles.gate import Gate
    from services.bundles.promote import Promoted
    from services.bundles.settings import PublishSettings
    from services.gateways.bundle_store.port import BundleStore, Channel, Move, StoredBundle

app = typer.Typer(no_args_is_help=True, help="Published bundles: list, promote, roll back, compare.")

Store = Annotated[
    str, typer.Option("--store", help="A directory or s3://BUCKET/PATH (docs/freshness-swap.md); RANKGR_BUNDLE_STORE.")
]
Named = Annotated[
    str, typer.Argument(help="latest, previous, canary, a model version, or how a version begins (4 digits or more).")
]
Either = Annotated[str, typer.Argument(help="A bundle directory, or a version as `rankgr bundles show` takes it.")]
LOOK_EVERY_S = 0.5


@app.command("list")
def list_(store: Store = "", as_json: AsJson = False) -> None:
    """Every version, which of them is served, and what was refused."""
    opened = store_of(store)[0]
    places = _places(opened)
    rows = [_row(one, places) for one in opened.bundles()]
    refusals = opened.refusals()
    if as_json:
        emit({"bundles": rows, "refused": [one.model_dump() for one in refusals]})
        return
    for row in rows:
        said = " ".join(str(place) for place in places.get(str(row["version"]), []))
        people().print(
            f"{row['version']}  model {row['model_version']}  catalogue {row['catalog_version']}  "
            f"{row['created_at']}  {row['bytes']:>13,} bytes  {said}".rstrip()
        )
    for refusal in refusals:
        people().print(f"refused {refusal.version or 'unreadable':<12}  {refusal.reason}")


@app.command("show")
def show(version: Named = "latest", store: Store = "", as_json: AsJson = False) -> None:
    """One version: its manifest, its size, and every move that led to it."""
    from services.gateways.bundle_store.port import Channel
    from services.local.bundle_store import version_named

    opened = store_of(store)[0]
    found = opened.bundle(version_named(opened, version))
    moves = [(channel, move) for channel in Channel for move in opened.moves(channel) if move.version == found.version]
    if as_json:
        content = _row(found, _places(opened)) | {"manifest": found.manifest.model_dump()}
        emit(content | {"moves": [{"channel": channel.value} | move.model_dump() for channel, move in moves]})
        return
    people().print(f"version {found.version}, {found.nbytes:,} bytes, {len(found.manifest.files)} files")
    people().print(f"model {found.manifest.model_version}, catalogue {found.manifest.catalog_version}")
    people().print(f"made {found.manifest.created_at}")
    for name, value in {**found.manifest.data, **found.manifest.metrics}.items():
        people().print(f"  {name}: {value}")
    for channel, move in moves:
        people().print(
            f"  {channel.value} {move.number}: {move.kind} by {move.by} {_moment(move)} {move.note}".rstrip()
        )


@app.command("promote")
def promote(
    target: Either,
    canary: Annotated[bool, typer.Option("--canary", help="To the canary's replicas alone.")] = False,
    canary_for: Annotated[
        float, typer.Option(min=0, help="To the canary, and after so many seconds to everybody; waits for it.")
    ] = 0.0,
    gate: Annotated[
        bool, typer.Option("--gate", help="Only if it answers golden requests, and with --data does not fall.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option(help="With --gate: a data set whose held-out users are newer than the model.")
    ] = None,
    split: Annotated[SplitName, typer.Option(help="With --data: which held-out part.")] = SplitName.TEST,
    k: Annotated[int, typer.Option("--k", min=1, max=1400, help="With --data: the K of HR@K.")] = 20,
    max_fall: Annotated[
        float, typer.Option(min=0, max=1, help="With --data: how much of the serving model's HR@K may be lost.")
    ] = 0.05,
    golden_ms: Annotated[
        float, typer.Option(min=0, help="With --gate: what a golden request may take, as a median.")
    ] = 5000.0,
    store: Store = "",
    as_json: AsJson = False,
) -> None:
    """Publish a bundle, or take a version that is there, and let it be served.  A bundle that is no good is refused."""
    if data is not None and not gate:
        raise typer.BadParameter("is for the gate: give --gate too", param_hint="--data")
    from services.bundles.promote import PromoteBundle
    from services.gateways.bundle_store.port import Channel
    from services.local.bundle_store import version_named, who
    from services.runtime.clock import SystemClock

    opened, settings = store_of(store)
    judge = gate_of(data, split, k, max_fall, golden_ms) if gate else None
    promoting = PromoteBundle(opened, SystemClock(), who(), settings.bundle_keep, judge)
    channel = Channel.CANARY if canary or canary_for else Channel.LATEST
    hold_s = canary_for or None
    if Path(target).is_dir():
        done = promoting(Path(target), channel, hold_s=hold_s)
    else:
        done = promoting.stored(version_named(opened, target), channel, hold_s=hold_s)
    if canary_for:
        if not as_json:
            note(f"{done.bundle.version} is the canary, for {canary_for:g} s")
        wait_for_canary(opened, done.bundle.version)
    tell(done, Channel.LATEST if canary_for else channel, as_json)


@app.command("rollback")
def rollback(
    to: Annotated[str, typer.Option("--to", help="A version; default: the one that stood before.")] = "",
    canary: Annotated[bool, typer.Option("--canary", help="Take the canary back instead.")] = False,
    store: Store = "",
    as_json: AsJson = False,
) -> None:
    """Let the version before be served again; every process swaps back by itself."""
    from services.bundles.roll_back import RollBack
    from services.local.bundle_store import version_named, who
    from services.runtime.clock import SystemClock

    opened = store_of(store)[0]
    back = RollBack(opened, SystemClock(), who())
    done = back.withdraw() if canary else back(version_named(opened, to) if to else None)
    if as_json:
        emit({"channel": done.channel.value, "was": done.was, "version": done.to})
    else:
        people().print(f"{done.channel.value}: {done.was} -> {done.to or 'nothing'}")


@app.command("diff")
def diff(one: Either, other: Either, store: Store = "", as_json: AsJson = False) -> None:
    """What changed from one bundle to another: settings, items, weights, metrics."""
    from dataclasses import asdict

    from model.bundle.difference import difference
    from model.bundle.read import read_bundle
    from services.local.bundle_store import opened as directory_of

    if (Path(one) / "manifest.json").exists() and (Path(other) / "manifest.json").exists():
        found = difference(read_bundle(Path(one)), read_bundle(Path(other)))
    else:
        held = store_of(store)[0]
        with directory_of(held, one) as left, directory_of(held, other) as right:
            found = difference(read_bundle(left), read_bundle(right))
    if as_json:
        # No JSON number is infinite: null is a tensor that cannot be compared.
        weights = {name: None if far == float("inf") else far for name, far in found.weights.items()}
        emit(asdict(found) | {"weights": weights})
        return
    items = found.items
    people().print(
        f"items: {items.common:,} common, {items.added:,} added, {items.removed:,} removed, {items.moved:,} moved"
    )
    for name, (before, after) in {**found.settings, **found.metrics}.items():
        people().print(f"  {name}: {before} -> {after}")
    for name, far in sorted(found.weights.items(), key=lambda pair: -pair[1]):
        people().print(f"  {name}: moved by {far:.2e} of its length")


def store_of(store: str) -> tuple[BundleStore, PublishSettings]:
    """The store of this URL, or of the environment, and the settings.  Raises BadParameter where neither names one."""
    from services.bundles.settings import PublishSettings
    from services.local.bundle_store import open_store
    from services.runtime.settings import read_settings

    settings = read_settings(PublishSettings)
    url = store or settings.bundle_store
    if not url:
        raise typer.BadParameter("name a store, or set RANKGR_BUNDLE_STORE", param_hint="--store")
    return open_store(url), settings


def gate_of(data: Path | None, split: SplitName, k: int, max_fall: float, golden_ms: float) -> Gate:
    """The gate that the options of a command describe."""
    from contracts.behaviors import Level
    from model.data.data_set import read_data_set
    from model.data.log import Split
    from model.evaluation.measured_users import measured_users
    from services.bundles.gate import Gate, GateRules
    from services.runtime.clock import SystemClock

    users = [] if data is None else measured_users(read_data_set(data), Split[split.name], Level.CLICK)
    return Gate(GateRules(golden_ms, k, max_fall), SystemClock(), users)


def wait_for_canary(store: BundleStore, version: str) -> None:
    """Until `latest` is the canary.  Raises PointerMoved where somebody decided otherwise meanwhile."""
    from contracts.errors import BundleStoreDown, PointerMoved
    from services.bundles.canary import PromoteCanary, wanted
    from services.gateways.bundle_store.port import Channel, now_at
    from services.local.bundle_store import who
    from services.runtime.clock import SystemClock

    settle = PromoteCanary(store, SystemClock(), who())
    while True:
        try:
            settle()
            latest, canary = store.moves(Channel.LATEST), store.moves(Channel.CANARY)
            move = wanted(Channel.CANARY, latest, canary)
        except BundleStoreDown as error:
            note(f"still waiting: {error}")
        else:
            if now_at(latest) == version:
                return
            if move is None or move.version != version:
                raise PointerMoved(f"{version} is no longer the canary: it was taken back, or something followed it")
        time.sleep(LOOK_EVERY_S)


def tell(done: Promoted, channel: Channel, as_json: bool, more: Mapping[str, object] | None = None) -> None:
    """What was promoted; `more` joins the JSON object."""
    if as_json:
        emit(
            {
                "version": done.bundle.version,
                "model_version": done.bundle.manifest.model_version,
                "catalog_version": done.bundle.manifest.catalog_version,
                "channel": channel.value,
                "moved": done.moved,
                "figures": done.figures,
                "removed": list(done.removed),
                **(more or {}),
            }
        )
        return
    said = "is now" if done.moved else "was already"
    people().print(f"{done.bundle.version} (model {done.bundle.manifest.model_version}) {said} {channel.value}")
    for name, value in done.figures.items():
        people().print(f"  {name}: {value:.4g}")


def _places(store: BundleStore) -> dict[str, list[str]]:
    """Version -> the names that mean it."""
    from services.gateways.bundle_store.port import Channel, before, now_at

    latest = store.moves(Channel.LATEST)
    places: dict[str, list[str]] = {}
    named = (("latest", now_at(latest)), ("previous", before(latest)), ("canary", now_at(store.moves(Channel.CANARY))))
    for name, version in named:
        if version is not None:
            places.setdefault(version, []).append(name)
    return places


def _row(one: StoredBundle, places: dict[str, list[str]]) -> dict[str, object]:
    return {
        "version": one.version,
        "model_version": one.manifest.model_version,
        "catalog_version": one.manifest.catalog_version,
        "created_at": one.manifest.created_at,
        "bytes": one.nbytes,
        "names": places.get(one.version, []),
    }


def _moment(move: Move) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(move.at_ms / 1000, UTC).isoformat(timespec="seconds")

"""`rankgr sid`: make semantic ids for a data set, and look at those of a directory or a bundle."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.data import LARGEST_SEED, AsJson
from services.cli.output import emit, note, people, progress

if TYPE_CHECKING:
    from model.semantic_id.full_report import FullReport
    from model.semantic_id.settings import GivenSettings, SidSettings

LONGEST_TITLE = 90

app = typer.Typer(no_args_is_help=True, help="Make semantic ids, and look at them.")


@app.callback()
def sid() -> None:
    """Make semantic ids, and look at them."""


@app.command()
def build(
    directory: Annotated[Path, typer.Argument(help="A data set directory.")],
    out: Annotated[Path, typer.Option(help="The directory to write the ids into.")],
    method: Annotated[str, typer.Option(help="rkmeans (residual k-means) or rqvae.")] = "rkmeans",
    levels: Annotated[str, typer.Option(help="Codes per level, as 2x256 or 1024,4096.")] = "2x256",
    last_level: Annotated[
        str, typer.Option(help="The last code: nearest, or an item's rank by popularity under its prefix.")
    ] = "nearest",
    cap: Annotated[int, typer.Option(min=1, help="Items per id at most; 1 makes ids unique.")] = 1,
    encoder: Annotated[
        Path | None, typer.Option(help="A Hugging Face directory that turns texts into vectors; default: their words.")
    ] = None,
    dims: Annotated[int, typer.Option(min=1, max=65_536, help="Length of an item's feature vector.")] = 64,
    text_share: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Weight of the texts; the rest goes to co-occurrence.")
    ] = 0.5,
    window: Annotated[int, typer.Option(min=1, help="How far apart items of a history may stand to co-occur.")] = 5,
    history: Annotated[str, typer.Option(help="Weakest behaviour that counts: exposure, click or purchase.")] = "click",
    items: Annotated[str, typer.Option(help="all, or seen: only those that training rows show.")] = "all",
    most_items: Annotated[int, typer.Option(min=0, help="So many items at most, most seen first; 0: no limit.")] = 0,
    hold_out: Annotated[
        bool, typer.Option("--hold-out", help="Leave each user's last training request out, to measure on it.")
    ] = False,
    rqvae: Annotated[
        str, typer.Option(help="Settings of the RQ-VAE, as steps=3000,latent=64 (docs/semantic-ids.md).")
    ] = "",
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Equal seeds and data make equal ids.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace the ids that are there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Give every item of a data set a semantic id."""
    from model.build.build_sids import BuildSids
    from model.build.train_prices import with_train_prices
    from model.bundle.semantic_ids import SIDS_FILE
    from model.bundle.whole import check_target
    from model.data.data_set import read_data_set
    from model.semantic_id.sentence_encoder import SentenceEncoder

    started = time.monotonic()
    settings = _settings({
        "method": method, "levels": levels, "last_level": last_level, "cap": cap, "dims": dims,
        "text_share": text_share, "window": window, "history": history, "items": items, "most_items": most_items,
        "hold_out": hold_out, "rqvae": rqvae, "seed": seed,
    })  # fmt: skip
    with progress(quiet=as_json) as shown:
        check_target(out, SIDS_FILE, replace=force)
        texts = SentenceEncoder.read(encoder) if encoder else None
        data = with_train_prices(read_data_set(directory), directory)
        built = BuildSids(settings, texts, datetime.now(UTC), shown)(data, out, replace=force)
    seconds = round(time.monotonic() - started, 3)
    if as_json:
        made = {"sids": str(out), "catalog_version": built.catalog_version, "seconds": seconds}
        emit({**made, "items_without_features": built.unknown, **built.report})
        return
    if built.unknown:
        note(f"{built.unknown} items have no text and no company in any history: chance gave them their ids")
    people().print(f"{out}: catalogue {built.catalog_version}, {seconds:.0f} s")
    _show(built.report)


@app.command()
def report(
    directory: Annotated[Path, typer.Argument(help="Semantic ids, or a bundle.")],
    data: Annotated[
        Path | None, typer.Option(help="The data set behind a bundle: it says which items go together.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Collisions, balance and use of the codes, what they lost of the items' vectors, and examples."""
    from model.build.report_on import report_on

    content = report_on(directory, data)
    if as_json:
        emit(content)
    else:
        _show(content)


def _settings(given: GivenSettings) -> SidSettings:
    """Wrong use where a setting makes no sense; the line names the option."""
    from contracts.errors import BadRequest
    from model.semantic_id.settings import read_settings

    try:
        return read_settings(given)
    except BadRequest as error:
        option, _, what = str(error).partition(": ")
        raise typer.BadParameter(what, param_hint=f"--{option.replace('_', '-')}") from error


def _line(codes: list[int], title: str, item: int) -> str:
    """Codes and what a person reads of the item, on one line."""
    named = " ".join(title.split()) or str(item)
    return f"{codes} {named if len(named) <= LONGEST_TITLE else named[: LONGEST_TITLE - 1] + '…'}"


def _show(content: FullReport) -> None:
    say = people().print
    say(f"items: {content['items']:,}, ids in use: {content['sids_used']:,}")
    say(
        f"share an id with others: {content['collision_rate']:.2%}, most items on one: {content['max_items_per_sid']}, "
        f"Gini {content['gini']:.3f}"
    )
    for number, level in enumerate(content["levels"], start=1):
        say(
            f"level {number}: {level['codes_used']:,} of {level['size']:,} codes in use, Gini {level['gini']:.3f}, "
            f"perplexity {level['perplexity']:,.0f}"
        )
    for relation, embeddings in content["embedding_hit_rate"].items():
        for embedding, rates in embeddings.items():
            shown = ", ".join(f"{k} {rate:.4f}" for k, rate in (rates or {}).items()) or "not known"
            say(f"hit rate, {relation} pairs, {embedding} vectors: {shown}")
    for around in content["neighbourhoods"]:
        say(_line(around["sid"], around["title"], around["item_id"]))
        for other in around["neighbours"]:
            say(f"    {_line(other['sid'], other['title'], other['item_id'])}")

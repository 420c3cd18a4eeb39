"""`rankgr topics`: the topics of a Kafka cluster."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from services.cli.output import emit, fail, people

app = typer.Typer(no_args_is_help=True, help="The topics of a Kafka cluster (RANKGR_KAFKA_BOOTSTRAP).")

# As many precompute processes as this can share the triggers.
PARTITIONS = 12


@app.callback()
def topics() -> None:
    """The topics of a Kafka cluster (RANKGR_KAFKA_BOOTSTRAP)."""


@app.command("create")
def create(
    partitions: Annotated[int, typer.Option(min=1, max=1000, help="Partitions of each topic.")] = PARTITIONS,
    replication: Annotated[
        int, typer.Option(min=-1, max=32767, help="Replicas of each partition; -1: as the cluster has it by default.")
    ] = -1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make the topics that are missing; those that are there stay as they are."""
    from services.runtime.settings import StreamSettings, read_settings

    settings = read_settings(StreamSettings)
    if not settings.kafka_brokers:
        fail("RANKGR_KAFKA_BOOTSTRAP is not set: events travel on Redis Streams, which need no topics made")
        sys.exit(1)
    # Imported here: other commands need no Kafka.
    from services.gateways.event_stream.kafka.topics import create_topics
    from services.gateways.event_stream.kafka_by_settings import kafka_place

    made = create_topics(kafka_place(settings), partitions, replication)
    if as_json:
        emit({"topics": [asdict(one) for one in made]})
        return
    for one in made:
        people().print(f"{one.name:<14}{one.partitions:>5} partitions  {'made' if one.made else 'was there'}")

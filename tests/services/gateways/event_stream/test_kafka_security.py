"""TLS in front of the broker, and a password that is never said.  Tansu's own TLS is not used: its clients time out."""

from __future__ import annotations

import asyncio
import io
import logging
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from contracts.errors import StreamDown
from services.gateways.event_stream.in_kafka import KafkaEventStream
from services.gateways.event_stream.kafka.place import KafkaPlace, Sasl, Tls
from services.gateways.event_stream.kafka.publisher import PublishLimits
from services.gateways.event_stream.kafka.topics import create_topics
from services.runtime.clock import SystemClock
from services.runtime.embedded_redis import free_port
from services.runtime.telemetry import configure_logging
from tests.kafka_broker import KafkaBroker

pytestmark = pytest.mark.usefixtures("sockets_left_behind")

SECRET = "hunter2-hunter2"


def stream_at(place: KafkaPlace, within_s: float) -> KafkaEventStream:
    return KafkaEventStream(place, SystemClock(), publishing=PublishLimits(within_s=within_s))


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for localhost that vouches for itself, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", names]
    subprocess.run(["openssl", *words, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


@asynccontextmanager
async def tls_before(broker: KafkaBroker, port: int, certificate: tuple[Path, Path]) -> AsyncIterator[None]:
    """What comes encrypted to `port` goes to the broker as it is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        except OSError:
            return
        finally:
            sink.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", broker.port)
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", port, ssl=context)
    yield
    server.close()


async def test_a_cluster_behind_tls_is_reached_by_those_who_trust_it_alone(certificate: tuple[Path, Path]) -> None:
    port = free_port()
    broker = KafkaBroker.start(advertised=port)
    try:
        async with tls_before(broker, port, certificate):
            trusting = KafkaPlace((f"localhost:{port}",), tls=Tls(ca=certificate[0]))
            await asyncio.to_thread(create_topics, trusting, 2, 1)
            stream = stream_at(trusting, 5.0)
            await stream.publish("triggers", "u", b"x")
            await stream.close()
            for place in (KafkaPlace((f"localhost:{port}",)), KafkaPlace((f"localhost:{port}",), tls=Tls())):
                stream = stream_at(place, 0.5)
                with pytest.raises(StreamDown):
                    await stream.publish("triggers", "u", b"x")
                await stream.close()
    finally:
        broker.kill()


@pytest.fixture
def debug_log() -> Iterator[io.StringIO]:
    """All that is logged at the level that says most."""
    root = logging.getLogger()
    before, level = root.handlers, root.level
    said = io.StringIO()
    configure_logging("test", "debug", said)
    yield said
    root.handlers = before
    root.setLevel(level)
    logging.getLogger("kafka").setLevel(logging.NOTSET)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
async def test_a_password_is_never_said(debug_log: io.StringIO, mechanism: str) -> None:
    broker = KafkaBroker.start()
    place = KafkaPlace((broker.bootstrap,), sasl=Sasl(mechanism, "me", SECRET))
    stream = stream_at(place, 1.0)
    try:
        with pytest.raises(StreamDown) as caught:
            await stream.publish("triggers", "u", b"x")
        await stream.close()
    finally:
        broker.kill()
    for said in (str(caught.value), repr(place), debug_log.getvalue()):
        assert SECRET not in said

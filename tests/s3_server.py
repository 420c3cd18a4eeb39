"""An object store that speaks S3's protocol over a real socket: moto's, as a process of its own on loopback.

It keeps everything in memory.  It takes one request after the other, so that a write on condition is one step, as S3
promises it; moto alone looks and writes in two.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

from services.runtime.die_with_parent import die_with_parent
from services.runtime.embedded_redis import free_port

START_WITHIN_S = 60.0
BUCKET = "bundles"
SERVER = """
import logging, sys
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple
logging.getLogger("werkzeug").setLevel(logging.ERROR)
run_simple("127.0.0.1", int(sys.argv[1]), DomainDispatcherApplication(create_backend_app), threaded=False)
"""


@dataclass(frozen=True, slots=True)
class S3Server:
    """A running server with one empty bucket."""

    process: subprocess.Popen[bytes]
    port: int

    @classmethod
    def start(cls) -> S3Server:
        """Return when it answers."""
        port = free_port()
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent(),
        )
        server = cls(process, port)
        deadline = time.monotonic() + START_WITHIN_S
        while not server._answers():
            if process.poll() is not None or time.monotonic() > deadline:
                server.kill()
                raise RuntimeError("the test S3 server does not start")
            time.sleep(0.05)
        return server

    @property
    def url(self) -> str:
        """Its endpoint."""
        return f"http://127.0.0.1:{self.port}"

    def told(self) -> Mapping[str, str]:
        """What a process needs to know to use it; anything goes as a key."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            # No look for credentials on a machine in a cloud, and no proxy in between.
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
        }

    def freeze(self) -> None:
        """Stand still."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it, and with it all that it held."""
        self.process.kill()
        self.process.wait()

    def _answers(self) -> bool:
        """Make the bucket; whether that was possible."""
        asked = urllib.request.Request(f"{self.url}/{BUCKET}", method="PUT")
        asked.add_header("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request")
        try:
            with urllib.request.urlopen(asked, timeout=5.0):
                return True
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

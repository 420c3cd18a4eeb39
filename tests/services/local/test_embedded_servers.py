"""The two servers of a local stack share no files with those of another one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import redis

from contracts.errors import StoreDown
from services.local.embedded_servers import embedded_servers

pytestmark = pytest.mark.redis

# Holds the directory and says so; ends when it is killed.
HOLDER = """
import sys
from pathlib import Path
from services.runtime.sole_use import sole_use
with sole_use(Path(sys.argv[1]), "stack"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_stack_on_the_same_files_is_refused_in_one_line_and_the_first_goes_on(tmp_path: Path) -> None:
    with embedded_servers(tmp_path) as servers:
        with pytest.raises(StoreDown, match="in use by another stack") as refused, embedded_servers(tmp_path):
            pass
        assert str(tmp_path) in str(refused.value)
        assert "--state" in str(refused.value)
        for url in servers.told().values():
            with redis.Redis.from_url(url) as client:
                assert client.ping()
    with embedded_servers(tmp_path):
        pass


def test_whoever_is_killed_leaves_the_files_to_the_next(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StoreDown), embedded_servers(tmp_path):
            pass
        holder.kill()
    with embedded_servers(tmp_path):
        pass

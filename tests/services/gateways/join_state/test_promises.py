"""What every state of the join promises (its port.py), over memory and a file; and what the file must survive."""

from __future__ import annotations

import resource
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from contracts.errors import BadInput, StoreDown
from services.gateways.join_state.in_memory import MemoryJoinState
from services.gateways.join_state.on_disk import DiskJoinState
from services.gateways.join_state.port import JoinState, Kept, KeptUser, Mark, Outgoing, Step

Reopen = Callable[[], JoinState]
STEP = Step(
    users=[KeptUser("ann", True, b"\x00ann"), KeptUser("ü{42}", False, b"42"), KeptUser("bob", True, b"bob")],
    marks={("triggers", "0"): Mark("17-0/3", 1000), ("candidates", "2"): Mark("9", 0)},
    watermark=990,
    outgoing=[Outgoing("samples", "ann", b"one"), Outgoing("dead-letters", "bob", b"two")],
)


@pytest.fixture(params=["memory", "disk"])
async def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Reopen]:
    """Gives the same state again, as a process that starts anew sees it."""
    memory = MemoryJoinState()
    async with AsyncExitStack() as closing:

        def opened() -> JoinState:
            path = tmp_path / "new" / "state.sqlite"
            made = memory if request.param == "memory" else DiskJoinState(path, locked_for_s=0.0)
            closing.push_async_callback(made.close)
            return made

        yield opened


async def test_of_a_new_state_nothing_is_kept(reopen: Reopen) -> None:
    state = reopen()
    assert await state.begin("me") == Kept(0, {}, [])
    assert await state.waiting("", 10) == []
    assert await state.users(["ann"]) == {}
    assert await state.users([]) == {}


async def test_a_step_is_there_whole_when_the_state_is_opened_again(reopen: Reopen) -> None:
    state = reopen()
    await state.begin("me")
    await state.keep(STEP, 1)
    await state.close()
    again = reopen()
    assert await again.begin("me") == Kept(990, STEP.marks, STEP.outgoing)
    assert await again.users(["ann", "ü{42}", "nobody"]) == {"ann": b"\x00ann", "ü{42}": b"42"}
    assert await again.waiting("", 10) == [STEP.users[0], STEP.users[2]]


async def test_a_step_replaces_users_and_what_was_to_be_published_and_adds_to_the_marks(reopen: Reopen) -> None:
    state = reopen()
    await state.begin("me")
    await state.keep(STEP, 1)
    mark = {("triggers", "0"): Mark("18-0/4", 1100)}
    await state.keep(Step([KeptUser("ann", False, b"later")], mark, 1090, [Outgoing("samples", "c", b"three")]), 2)
    await state.close()
    kept = await reopen().begin("me")
    assert kept == Kept(1090, {**STEP.marks, **mark}, [Outgoing("samples", "c", b"three")])


async def test_what_was_sent_is_not_told_again(reopen: Reopen) -> None:
    state = reopen()
    await state.begin("me")
    await state.keep(STEP, 1)
    await state.sent()
    await state.close()
    assert (await reopen().begin("me")).outgoing == []


async def test_those_who_wait_come_in_pages_by_name(reopen: Reopen) -> None:
    state = reopen()
    await state.begin("me")
    users = [KeptUser(f"user-{number:03}", number % 3 > 0, b"x") for number in range(50)]
    await state.keep(Step(users, {}, 1, []), 1)
    found: list[KeptUser] = []
    while page := await state.waiting(found[-1].user if found else "", 7):
        assert len(page) <= 7
        found += page
    assert found == [one for one in users if one.waits]


async def test_many_users_are_asked_for_at_once(reopen: Reopen) -> None:
    state = reopen()
    await state.begin("me")
    names = [f"user-{number}" for number in range(3000)]
    await state.keep(Step([KeptUser(name, True, name.encode()) for name in names], {}, 1, []), 1)
    assert await state.users([*names, "nobody"]) == {name: name.encode() for name in names}


async def test_only_users_that_wait_for_nothing_and_did_nothing_for_long_are_forgotten(reopen: Reopen) -> None:
    state = reopen()
    await state.begin("me")
    await state.keep(Step([KeptUser("old", False, b"1"), KeptUser("waits", True, b"2")], {}, 1, []), 100)
    await state.keep(Step([KeptUser("older", False, b"1"), KeptUser("new", False, b"2")], {}, 1, []), 200)
    await state.keep(Step([KeptUser("older", False, b"1")], {}, 1, []), 150)
    assert await state.forget(200, 1) == 1
    assert await state.forget(200, 10) == 1
    assert await state.forget(200, 10) == 0
    assert set(await state.users(["old", "older", "waits", "new"])) == {"waits", "new"}


async def test_another_owner_and_a_second_process_are_refused_in_one_line(reopen: Reopen) -> None:
    state = reopen()
    await state.begin("share 0 of 1")
    with pytest.raises(BadInput, match="open"):
        await reopen().begin("share 0 of 1")
    await state.close()
    with pytest.raises(BadInput, match="belongs to share 0 of 1, not to share 1 of 2"):
        await reopen().begin("share 1 of 2")


async def test_a_file_that_is_no_state_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_bytes(b"something else entirely" * 100)
    state = DiskJoinState(path)
    with pytest.raises(BadInput, match="is no state of the join, or damaged"):
        await state.begin("me")
    await state.close()


async def test_a_place_where_nothing_can_be_written_is_store_down(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    state = DiskJoinState(tmp_path / "file" / "state")
    with pytest.raises(StoreDown) as caught:
        await state.begin("me")
    assert "\n" not in str(caught.value)
    await state.close()


async def test_a_state_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    state = DiskJoinState(tmp_path / "state")
    await state.begin("me")
    await state.close()
    with sqlite3.connect(tmp_path / "state") as file:
        file.execute("update about set value = '2' where name = 'format'")
    file.close()
    again = DiskJoinState(tmp_path / "state")
    with pytest.raises(BadInput, match="of format 2, this release knows 1"):
        await again.begin("me")
    await again.close()


async def test_a_full_disk_changes_nothing_and_the_same_step_may_be_kept_when_there_is_room(tmp_path: Path) -> None:
    state = DiskJoinState(tmp_path / "state")
    await state.begin("me")
    await state.keep(STEP, 1)
    large = Step([KeptUser("large", True, bytes(4_000_000))], {}, 2000, [])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        # As a full disk: a file may not grow any more.
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
        with pytest.raises(StoreDown) as caught:
            await state.keep(large, 2)
        assert "\n" not in str(caught.value)
        assert await state.users(["large", "ann"]) == {"ann": b"\x00ann"}
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    await state.keep(large, 3)
    await state.close()
    again = DiskJoinState(tmp_path / "state")
    kept = await again.begin("me")
    assert (kept.watermark, kept.outgoing) == (2000, [])
    await again.close()


_WRITER = """
    import asyncio, sys
    from pathlib import Path
    from services.gateways.join_state.on_disk import DiskJoinState
    from services.gateways.join_state.port import KeptUser, Mark, Outgoing, Step

    async def run():
        state = DiskJoinState(Path(sys.argv[1]))
        await state.begin("me")
        for number in range(1, 100000):
            users = [KeptUser(f"u{n}", True, str(number).encode() * 100) for n in range(20)]
            marks = {("t", "0"): Mark(str(number), number)}
            await state.keep(Step(users, marks, number, [Outgoing("s", "k", str(number).encode())]), number)
            print(number, flush=True)

    asyncio.run(run())
"""


def write_and_be_killed(path: Path, wanted: int) -> int:
    """The last step that a process reported which was killed after so many."""
    command = [sys.executable, "-c", textwrap.dedent(_WRITER), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        reported = 0
        while reported < wanted:
            reported = int(writer.stdout.readline())
        writer.kill()
        # The last line may have been cut.
        rest = writer.stdout.read().split(b"\n")[:-1]
    return int(rest[-1]) if rest else reported


async def test_a_process_killed_while_it_writes_leaves_one_whole_step_and_none_that_it_reported_is_lost(
    tmp_path: Path,
) -> None:
    path = tmp_path / "state"
    for wanted in (3, 40):
        reported = write_and_be_killed(path, wanted)
        state = DiskJoinState(path)
        kept = await state.begin("me")
        assert kept.watermark in (reported, reported + 1)
        number = str(kept.watermark)
        assert kept.marks == {("t", "0"): Mark(number, kept.watermark)}
        assert kept.outgoing == [Outgoing("s", "k", number.encode())]
        assert set((await state.users([f"u{n}" for n in range(20)])).values()) == {number.encode() * 100}
        await state.close()

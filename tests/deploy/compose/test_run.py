"""The program that runs the stack: what it says and reads, and (marker `containers`) itself on a real engine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
import yaml

from loadtest.report import HEAD
from services.runtime.key_file import KeyFile
from tests.deploy.compose.bad_input import REFUSED, own_lines, refused_volumes
from tests.deploy.compose.containers import ROOT, NotInTime, Stack, wait_for
from tests.deploy.compose.keys import Keys
from tests.deploy.compose.run import ENGINES, ONE_SHOT, OURS, QUICK, THEIRS, More, found_compose, run, verdict
from tests.deploy.compose.shop import Shop, pulse
from tests.deploy.compose.transcript import Transcript
from tests.deploy.compose.watchers import PROCESSES, jobs_of_the_file


def test_every_service_of_the_file_is_tried() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert {*ENGINES.values(), *ONE_SHOT, *OURS, *THEIRS, "load"} == set(yaml.safe_load(text)["services"])


def test_what_makes_a_run_quick_are_variables_of_the_file() -> None:
    assert set(QUICK) <= set(re.findall(r"\$\{([A-Z_]+):-", (ROOT / "docker-compose.yml").read_text()))


def test_a_container_s_own_lines_are_told_from_compose_s_and_from_its_log() -> None:
    said = (
        "Creating x_trigger_run ... done\n Container x Started\n\nrankgr: unknown settings: A\n"
        + '{"level": "info"}\n1\n'
    )
    assert own_lines(said) == ["rankgr: unknown settings: A"]


def test_the_volumes_that_are_refused_are_those_that_the_services_write() -> None:
    file = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    refused = yaml.safe_load(refused_volumes("v"))
    assert refused["volumes"] == {"refused": {"external": True, "name": "v"}}
    for service, place in REFUSED.items():
        assert refused["services"][service]["volumes"] == [f"refused:{place}:ro"]
        assert any(volume.endswith(f":{place}") for volume in file["services"][service]["volumes"])


def test_what_does_not_hold_is_in_the_transcript_and_counts(capsys: pytest.CaptureFixture[str]) -> None:
    transcript = Transcript()
    transcript.section("Up")
    transcript.show("compose ps", "\x1b[32mhealthy\x1b[0m ``` not an end")
    assert transcript.check("all is well", True)
    assert not transcript.check("nothing is lost", False, "3 lost")
    assert transcript.failures == ["nothing is lost (3 lost)"]
    shown = "## Up\n\n```\n$ compose ps\nhealthy ''' not an end\n```\n\n- ok: all is well\n"
    shown += "- FAILED: nothing is lost (3 lost)\n"
    assert transcript.text == shown
    assert shown.splitlines()[-1] in capsys.readouterr().out


def test_of_the_load_test_its_own_table_and_verdict_are_shown() -> None:
    own = f"{HEAD}| trigger | 8 |\n\n8 of 8 were ready\nevery budget kept\n"
    end = "[2026] x/INFO/locust.main: Shutting down (exit code 0)\nType | Name\n"
    said = f"Creating x ... done\nType | Name\n\n{own}{end}"
    assert verdict(said) == own.splitlines()
    assert verdict("load test: no budgets\n") == ["load test: no budgets"]


def test_keys_are_files_that_the_containers_users_read_and_the_stack_is_told_where(tmp_path: Path) -> None:
    keys = Keys.made_in(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"keys.json", "metrics.key"}
    assert all(file.stat().st_mode & 0o004 for file in tmp_path.iterdir())
    scopes = [set(key.scopes) for key in KeyFile.read(tmp_path / "keys.json").keys]
    assert scopes == [{"trigger", "retrieve", "engine", "metrics"}, {"trigger", "retrieve"}, {"metrics"}]
    more = More(keys, tmp_path / "bundle")
    assert more.key == keys.own
    assert set(more.variables) <= set(re.findall(r"\$\{([A-Z_]+):-", (ROOT / "docker-compose.yml").read_text()))
    assert set(more.variables) == {*keys.variables, "BUNDLE_FROM"}
    assert (More().key, More().variables) == (None, {})


def test_what_does_not_come_is_said_with_what_was_there() -> None:
    with pytest.raises(NotInTime, match=r"not within 0 s: still red"):
        wait_for(lambda: None, 0.0, lambda: "still red")


def test_a_command_that_does_not_end_is_not_waited_for() -> None:
    stack = Stack(("sleep", "10"), "p", "small", {})
    with pytest.raises(NotInTime, match="not done after"):
        stack._run(["sleep", "10"], 0.2, {})


def test_the_pulse_counts_answers_that_were_no_list(free_port: int) -> None:
    shop = Shop("", f"http://127.0.0.1:{free_port}")
    with pulse(shop, "ada", every_s=0.01) as told:
        wait_for(lambda: told.answers["status 0"] > 2, 20.0)
    shop.client.close()
    assert told.lost == told.answers.total()


def test_a_watcher_waits_for_every_job_that_prometheus_is_told() -> None:
    assert jobs_of_the_file() == {*PROCESSES, "console", "prometheus"}


@pytest.mark.containers
def test_the_whole_stack_for_real(tmp_path: Path) -> None:
    assert found_compose()
    try:
        run(profile="small", out=tmp_path / "transcript.md")
    except typer.Exit as ended:
        pytest.fail(f"exit code {ended.exit_code}: see what it said")

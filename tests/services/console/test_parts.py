"""Settings, words, measures, and who is kept away."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from random import Random

import httpx
import pytest
from fastapi import FastAPI

from contracts.behaviors import Behavior
from contracts.errors import BadRequest, Unavailable
from contracts.ids import EventId, ItemId, RequestId, UserId
from contracts.messages import TriggerRequested
from model.bundle.prompt_side import read_prompt_side
from services.console.examples import read_examples
from services.console.measures import Measures
from services.console.neighbours import Neighbours
from services.console.page_files import page_files
from services.console.settings import ConsoleSettings
from services.console.words import Words
from services.gateways.history.port import PastInteraction
from services.precompute.prompt_of_user import PromptOfUser
from services.runtime.settings import read_settings


def test_its_prompts_are_precompute_s(micro_bundle: Path) -> None:
    side, random = read_prompt_side(micro_bundle), Random(0)
    words = Words()
    with pytest.raises(Unavailable, match="no catalogue"):
        words.tokens([], 0, None)
    words.use(side)
    prompt_of = PromptOfUser(side.prompt_format, side.catalog, side.manifest.catalog_version)
    known = [*side.catalog.item_id.tolist(), 5, 6]
    for scene in (None, "home", "nowhere"):
        for length in (1, 3, 40, 300):
            history = [
                PastInteraction(ItemId(random.choice(known)), random.choice(list(Behavior)), when)
                for when in range(length)
            ]
            at = random.randrange(2**41)
            trigger = TriggerRequested(
                event_id=EventId("e"), user_id=UserId("u"), request_id=RequestId("r"), accepted_at=at, scene=scene
            )
            expected = prompt_of(history, trigger)
            assert words.tokens(history, at, scene) == (expected.tokens if expected.known_items else ())


def test_an_exposition_is_read_by_name_and_label() -> None:
    text = (
        "# TYPE rankgr_retrieval_answers_total counter\n"
        'rankgr_retrieval_answers_total{outcome="fresh"} 3\n'
        'rankgr_retrieval_answers_total{outcome="stale"} 1\n'
        'rankgr_stream_lag{topic="triggers",group="precompute"} 4\n'
        "rankgr_engine_waiting 2\n"
        'rankgr_bundle_info{bundle="b",model_version="old",catalog_version="c"} 0\n'
        'rankgr_bundle_info{bundle="b2",model_version="new",catalog_version="c"} 1\n'
        "process_cpu_seconds_total 1\n"
    )
    measures = Measures.read(text)
    assert measures.by("rankgr_retrieval_answers_total", "outcome") == {"fresh": 3, "stale": 1}
    assert list(measures.lags()) == [("triggers", "precompute", 4)]
    assert measures.one("rankgr_engine_waiting") == 2
    assert measures.one("rankgr_engine_inside") is None
    assert measures.bundle()["model_version"] == "new"
    with pytest.raises(ValueError, match="html"):
        Measures.read("<html>no exposition</html>")


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"RANKGR_CONSOLE_TRIGGER_URL": "127.0.0.1:8101"}, "RANKGR_CONSOLE_TRIGGER_URL: must be a URL"),
        ({"RANKGR_CONSOLE_ENGINE_URL": "http://a:b@c"}, "RANKGR_CONSOLE_ENGINE_URL: must hold no user name"),
        ({"RANKGR_CONSOLE_PROCESSES": "http://x"}, "RANKGR_CONSOLE_PROCESSES: must be NAME=URL"),
        ({"RANKGR_CONSOLE_PROCESSES": "engine=http://x"}, "RANKGR_CONSOLE_PROCESSES: names a process twice"),
        ({"RANKGR_CONSOLE_VIEW": "1"}, "unknown settings: RANKGR_CONSOLE_VIEW"),
        ({"RANKGR_CONSOLE_HOST": "0.0.0.0"}, "can be reached by others"),
    ],
)
def test_bad_settings_are_one_line(variables: Mapping[str, str], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANKGR_BUNDLE", "anywhere")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        read_settings(ConsoleSettings)
    assert says in str(ended.value)
    assert "\n" not in str(ended.value)


def test_processes_are_told_by_name() -> None:
    settings = ConsoleSettings(
        bundle=Path(), trigger_url="http://t/", processes="engine-2=http://e2:8103, trainer=http://x:8113/"
    )
    assert settings.process_urls == {
        "trigger": "http://t",
        "retrieval": "http://127.0.0.1:8102",
        "engine": "http://127.0.0.1:8103",
        "engine-2": "http://e2:8103",
        "trainer": "http://x:8113",
    }


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file"),
        ("[]", "file: "),
        ('{"users": [{"user_id": "", "recent": []}]}', r"users\.0\.user_id"),
        ('{"users": [{"user_id": "a", "recent": [{"item_id": "x"}]}]}', r"users\.0\.recent\.0"),
    ],
)
def test_a_bad_file_of_examples_is_named(tmp_path: Path, content: str | None, says: str) -> None:
    file = tmp_path / "examples.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(BadRequest, match=f"RANKGR_CONSOLE_EXAMPLES: .*{says}"):
        read_examples(file)


@pytest.mark.parametrize(
    ("headers", "loopback_only", "status"),
    [
        ({"host": "127.0.0.1:8100"}, True, 200),
        ({"host": "localhost:8100", "origin": "http://localhost:8100"}, True, 200),
        ({"host": "[::1]:8100"}, True, 200),
        ({"host": "rebound.example:8100"}, True, 403),
        ({"host": "localhost:8100", "origin": "http://evil.example"}, True, 403),
        ({"host": "localhost:8100", "origin": "null"}, True, 403),
        ({"host": "console.example"}, False, 200),
        ({"host": "console.example", "origin": "https://console.example"}, False, 200),
        ({"host": "console.example", "origin": "https://evil.example"}, False, 403),
    ],
)
async def test_other_sites_pages_are_kept_away(headers: dict[str, str], loopback_only: bool, status: int) -> None:
    app = FastAPI()

    @app.get("/")
    async def here() -> str:
        return "here"

    app.add_middleware(Neighbours, loopback_only=loopback_only)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        answer = await client.get("/", headers=headers)
    assert answer.status_code == status
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]


def test_the_page_s_files_hold_nothing_inline_and_build_no_markup_from_strings() -> None:
    files = page_files()
    assert {"/", "/system", "/page/console.css", "/page/request.js", "/page/system.js"} <= set(files)
    for path, (content, kind) in files.items():
        text = content.decode()
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", ""), path
        assert "https://" not in text, path
        if "javascript" in kind:
            assert not any(
                word in text for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(")
            ), path
        if "html" in kind:
            assert "style=" not in text
            assert "onclick" not in text
            assert text.count("<script") == text.count('<script type="module" src="/page/')

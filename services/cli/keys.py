"""`rankgr keys`: API keys of the services, made, listed and revoked in the file that RANKGR_API_KEYS_FILE names."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from services.cli.output import emit, people
from services.cli.parse import words
from services.runtime.auth import KeyId, Scope
from services.runtime.key_file import KeyEntry, KeyFile, new_key

app = typer.Typer(no_args_is_help=True, help="API keys of the services: made, listed, revoked.")

File = Annotated[
    Path,
    typer.Option("--file", envvar="RANKGR_API_KEYS_FILE", help="The file of keys; it holds no secret."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
_ID_BYTES = 5
_SECRET_BYTES = 32


@app.command("new")
def new(
    file: File,
    scopes: Annotated[str, typer.Option(help="What it may be used for: trigger, retrieve, engine, metrics, admin.")],
    name: Annotated[str, typer.Option(help="Whose key it is, for people.")] = "",
    as_json: Json = False,
) -> None:
    """Make a key, add it to the file and print it: it is shown this once and never again."""
    wanted = _scopes(scopes)
    entry, token = new_key(
        file,
        KeyId(secrets.token_hex(_ID_BYTES)),
        secrets.token_urlsafe(_SECRET_BYTES),
        name=name,
        scopes=wanted,
        now=datetime.now(UTC),
    )
    if as_json:
        emit(_shown(entry) | {"key": token, "file": str(file)})
    else:
        people().print(token)


@app.command("list")
def list_(file: File, as_json: Json = False) -> None:
    """The keys of the file, without their secrets: those are not in it."""
    keys = KeyFile.read(file).keys
    if as_json:
        emit({"keys": [_shown(key) for key in keys]})
        return
    for key in keys:
        people().print(f"{key.id}  {key.created_at:%Y-%m-%d}  {','.join(key.scopes)}  {key.name}".rstrip())


@app.command("revoke")
def revoke(key_id: Annotated[str, typer.Argument(help="The key's id.")], file: File, as_json: Json = False) -> None:
    """Take a key out of the file; running services refuse it within seconds."""
    KeyFile.read(file).without_key(key_id).write(file)
    if as_json:
        emit({"revoked": key_id})
    else:
        people().print(f"revoked {key_id}")


def _scopes(text: str) -> tuple[Scope, ...]:
    known = {scope.value: scope for scope in Scope}
    named = tuple(dict.fromkeys(words(text)))
    if not named or any(name not in known for name in named):
        raise typer.BadParameter(f"{text!r} is not a list of {', '.join(known)}", param_hint="--scopes")
    return tuple(known[name] for name in named)


def _shown(key: KeyEntry) -> dict[str, object]:
    return {"id": key.id, "name": key.name, "scopes": list(key.scopes), "created_at": key.created_at.isoformat()}

"""The bundle store on blobs: files of a version first, its manifest last, channels as logs of moves.

versions/VERSION/...        manifest.json is written when all the rest is there: without it a version does not exist
channels/latest/N.json      move N; written once, so that of two movers one wins
turns/N.json                who may swap, who gave it back
uploads/VERSION.json        begun and not finished
refused/NAME/...            what was set aside, with refusal.json
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from contracts.errors import BadBundle, BundleStoreDown, NoSuchBundle, PointerMoved
from contracts.manifest import MANIFEST_FILE, Manifest
from services.gateways.bundle_store.blobs import CHUNK_BYTES, Blobs, whole
from services.gateways.bundle_store.port import Channel, Move, Refusal, StoredBundle, Turn, before, now_at, version_of
from services.gateways.bundle_store.record_log import RecordLog

log = logging.getLogger(__name__)

REFUSAL_FILE = "refusal.json"
# Enough to look at, little enough to keep.
REFUSED_KEPT = 5
# No upload takes so long: what is older was left behind by a publisher that died.
UPLOAD_MS = 24 * 3600 * 1000

_Parsed = TypeVar("_Parsed", bound=BaseModel)


class _Upload(BaseModel):
    """A publication that was begun."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    at_ms: int


class _TurnRecord(BaseModel):
    """A turn; `until_ms` 0: given back."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    holder: str
    until_ms: int


@dataclass(slots=True)
class VersionedBundleStore:
    """See `BundleStore`."""

    blobs: Blobs
    _turns: RecordLog = field(init=False)
    # Moves and manifests never change: what was read once need not be read again at every look.
    _moves: dict[tuple[Channel, int], Move] = field(default_factory=dict, init=False)
    _manifests: dict[str, Manifest] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._turns = RecordLog(self.blobs, "turns")

    def publish(self, directory: Path, at_ms: int) -> StoredBundle:
        """See the port."""
        raw = _read(directory / MANIFEST_FILE)
        manifest = _manifest_of(raw, str(directory))
        version = version_of(manifest)
        if version in self._visible():
            return self.bundle(version)
        upload = f"uploads/{version}.json"
        self.blobs.put(upload, [_Upload(at_ms=at_ms).model_dump_json().encode()])
        for name, wanted in sorted(manifest.files.items()):
            path = _inside(f"versions/{version}", name)
            self.blobs.put(path, _checked(directory / name, name, wanted))
            # Read back: a store that lost a part of it on the way must not make it visible.
            if _sum_of(self.blobs.read(path)) != wanted:
                raise BadBundle(f"{name} of {version} did not arrive as it was sent")
        # In one step, unlike `put`: some stores keep the beginning of what could not be written to its end.
        self.blobs.create(f"versions/{version}/{MANIFEST_FILE}", raw)
        self.blobs.delete(upload)
        return self.bundle(version)

    def bundles(self) -> list[StoredBundle]:
        """See the port."""
        return self._sorted(self._visible())

    def _sorted(self, visible: dict[str, dict[str, int]]) -> list[StoredBundle]:
        found = []
        for version, sizes in visible.items():
            try:
                found.append(self._stored(version, sizes))
            except (BadBundle, NoSuchBundle) as error:
                # Removed meanwhile, or damaged in its place: the others are still there.
                log.warning("a version cannot be listed: %s", error)
        return sorted(found, key=lambda one: (one.manifest.created_at, one.version))

    def bundle(self, version: str) -> StoredBundle:
        """See the port."""
        sizes = self._visible().get(version)
        if sizes is None:
            raise NoSuchBundle(f"the bundle store has no version {version}")
        return self._stored(version, sizes)

    def fetch(self, version: str, into: Path, names: Collection[str] | None = None) -> None:
        """See the port."""
        folder = f"versions/{version}"
        raw = whole(self.blobs, f"{folder}/{MANIFEST_FILE}")
        if raw is None:
            raise NoSuchBundle(f"the bundle store has no version {version}")
        listed = _manifest_of(raw, version).files
        for name in sorted(listed if names is None else set(names) & set(listed)):
            target = into / _inside("", name)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with target.open("wb") as file:
                    for part in self.blobs.read(_inside(folder, name)):
                        file.write(part)
            except FileNotFoundError:
                raise BadBundle(f"{name} of {version} is missing in the bundle store") from None
        (into / MANIFEST_FILE).write_bytes(raw)

    def moves(self, channel: Channel) -> tuple[Move, ...]:
        """See the port."""
        log = self._log(channel)
        numbers = log.numbers()
        for number in numbers:
            if (channel, number) in self._moves:
                continue
            content = log.read(number)
            # One that went between listing and reading: an old one, which nobody misses.
            if content is not None:
                self._moves[channel, number] = _parsed(Move, content, f"move {number} of {channel}")
        return tuple(self._moves[channel, number] for number in numbers if (channel, number) in self._moves)

    def move(self, channel: Channel, move: Move) -> None:
        """See the port."""
        if move.version is not None and move.version not in self._visible():
            raise NoSuchBundle(f"the bundle store has no version {move.version}")
        if not self._log(channel).append(move.number, move.model_dump_json().encode()):
            now = self.moves(channel)
            stands = now_at(now) or "nothing"
            raise PointerMoved(f"{channel} was moved by somebody else meanwhile (to {stands}); nothing was changed")
        if move.version is not None and move.version not in self._visible():
            raise NoSuchBundle(f"version {move.version} was removed while {channel} moved to it; publish it again")

    def set_aside(self, directory: Path, refusal: Refusal) -> None:
        """See the port."""
        kept = {one.name for one in self.refusals()[-REFUSED_KEPT + 1 :]}
        for path in self.blobs.sizes("refused"):
            if PurePosixPath(path).parts[1] not in kept:
                self.blobs.delete(path)
        for name in _listed_in(directory):
            if (directory / name).is_file():
                self.blobs.put(_inside(f"refused/{refusal.name}", name), _parts(directory / name))
        self.blobs.put(f"refused/{refusal.name}/{REFUSAL_FILE}", [refusal.model_dump_json().encode()])

    def refusals(self) -> list[Refusal]:
        """See the port."""
        found = []
        for path in self.blobs.sizes("refused"):
            if path.count("/") == 2 and path.endswith(f"/{REFUSAL_FILE}"):
                content = whole(self.blobs, path)
                if content is not None:
                    found.append(_parsed(Refusal, content, path))
        return sorted(found, key=lambda one: (one.at_ms, one.name))

    def retain(self, keep: int, now_ms: int) -> list[str]:
        """See the port."""
        # Listed once: what another publishes meanwhile is newer than all of these, and not judged here.
        visible = self._visible()
        newest = [one.version for one in self._sorted(visible)][-keep:] if keep > 0 else []
        gone = []
        for version, sizes in visible.items():
            # Looked up each time: a channel may have moved meanwhile.
            if version in newest or version in self._needed():
                continue
            # The manifest first: half of a version must not be seen.
            for path in sorted(sizes, key=lambda path: not path.endswith(f"/{MANIFEST_FILE}")):
                self.blobs.delete(path)
            gone.append(version)
        self._sweep_uploads(now_ms)
        return gone

    def take_turn(self, holder: str, until_ms: int, now_ms: int) -> Turn | None:
        """See the port."""
        numbers = self._turns.numbers()
        last = numbers[-1] if numbers else 0
        if last and (content := self._turns.read(last)) is not None:
            held = _parsed(_TurnRecord, content, "the turn")
            if held.until_ms > now_ms and held.holder != holder:
                return None
        record = _TurnRecord(holder=holder, until_ms=until_ms).model_dump_json().encode()
        return Turn(last + 1, holder, until_ms) if self._turns.append(last + 1, record) else None

    def end_turn(self, turn: Turn) -> None:
        """See the port."""
        self._turns.append(turn.number + 1, _TurnRecord(holder=turn.holder, until_ms=0).model_dump_json().encode())

    def _needed(self) -> set[str | None]:
        latest = self.moves(Channel.LATEST)
        return {now_at(latest), before(latest), now_at(self.moves(Channel.CANARY))}

    def _log(self, channel: Channel) -> RecordLog:
        return RecordLog(self.blobs, f"channels/{channel.value}")

    def _visible(self) -> dict[str, dict[str, int]]:
        """Version -> its paths and their sizes."""
        found: dict[str, dict[str, int]] = defaultdict(dict)
        for path, size in self.blobs.sizes("versions").items():
            found[PurePosixPath(path).parts[1]][path] = size
        return {version: sizes for version, sizes in found.items() if f"versions/{version}/{MANIFEST_FILE}" in sizes}

    def _stored(self, version: str, sizes: dict[str, int]) -> StoredBundle:
        if version not in self._manifests:
            raw = whole(self.blobs, f"versions/{version}/{MANIFEST_FILE}")
            if raw is None:
                raise NoSuchBundle(f"the bundle store has no version {version} any more")
            self._manifests[version] = _manifest_of(raw, version)
        return StoredBundle(version, self._manifests[version], sum(sizes.values()))

    def _sweep_uploads(self, now_ms: int) -> None:
        visible = self._visible()
        for path in self.blobs.sizes("uploads"):
            content = whole(self.blobs, path)
            if content is None or _begun_ms(content) > now_ms - UPLOAD_MS:
                continue
            version = PurePosixPath(path).stem
            if version not in visible:
                for left in self.blobs.sizes(f"versions/{version}"):
                    self.blobs.delete(left)
            self.blobs.delete(path)


def _listed_in(directory: Path) -> list[str]:
    """The manifest and what it lists, or the manifest alone: a directory may hold anything else."""
    try:
        manifest = _manifest_of(_read(directory / MANIFEST_FILE), str(directory))
        inside = [name for name in manifest.files if _inside("", name)]
    except BadBundle:
        inside = []
    return [MANIFEST_FILE, *sorted(inside)]


def _inside(folder: str, name: str) -> str:
    """Where a listed file lies.  Raises BadBundle for a name that leads out of the bundle."""
    path = PurePosixPath(name)
    if not name.isprintable() or path.is_absolute() or not path.parts or ".." in path.parts:
        raise BadBundle(f"the manifest names a file outside the bundle: {name!r}")
    return f"{folder}/{path}" if folder else str(path)


def _manifest_of(raw: bytes, what: str) -> Manifest:
    try:
        return Manifest.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise BadBundle(
            f"{what}: {MANIFEST_FILE} is not a manifest this version reads: {place}: {first['msg']}"
        ) from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadBundle(f"{path} cannot be read: {error.strerror}; is this a bundle?") from error


def _parts(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while part := file.read(CHUNK_BYTES):
            yield part


def _checked(path: Path, name: str, wanted: str) -> Iterator[bytes]:
    """A file's content.  Raises BadBundle at its end where it is not what the manifest says."""
    digest = hashlib.sha256()
    try:
        for part in _parts(path):
            digest.update(part)
            yield part
    except OSError as error:
        raise BadBundle(f"{path} cannot be read: {error.strerror}") from error
    if digest.hexdigest() != wanted:
        raise BadBundle(f"{name} is damaged: its sha256 is not the manifest's")


def _sum_of(content: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in content:
        digest.update(part)
    return digest.hexdigest()


def _begun_ms(content: bytes) -> int:
    """When an upload began; long ago where not even that could be written."""
    try:
        return _Upload.model_validate_json(content).at_ms
    except ValidationError:
        return 0


def _parsed(kind: type[_Parsed], content: bytes, what: str) -> _Parsed:
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise BundleStoreDown(f"the bundle store holds something that is no {kind.__name__}: {what}") from error

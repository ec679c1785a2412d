"""Where trained models live: one directory a version, published whole, verified before it is read.

    <store>/<kind>/current              the version in use, one line
    <store>/<kind>/<version>/model.npz      plain arrays; loading one never runs code
    <store>/<kind>/<version>/metadata.json  when, from what, how good, with which libraries

A version is named after the SHA-256 of its file, so the same training on the same examples is the same version and
a file that was touched no longer fits its name.
"""

import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from importlib.metadata import version as library_version
from pathlib import Path
from threading import Lock
from typing import Final, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from intelligence.text_features import ModelArrays

_MODEL: Final = "model.npz"
_METADATA: Final = "metadata.json"
_CURRENT: Final = "current"
_NAME_LENGTH: Final = 16
_KEPT: Final = 5
_LIBRARIES: Final = ("numpy", "scipy", "scikit-learn")


class ModelRefused(Exception):  # noqa: N818 - named after what happened
    """A model file is missing, or is not the file that was published under its name."""


class ModelKind(StrEnum):
    """The models a store holds; each has versions and a current one of its own."""

    INTENT = "intent"
    SENTIMENT = "sentiment"
    LANGUAGE = "language"


class ModelOrigin(StrEnum):
    """What a model learned from: only the examples Baton ships with, or an installation's own."""

    SHIPPED = "shipped"
    OWN = "own"


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """How a model came to be: `data_sha256` identifies the examples, `figures` are its measured qualities by name."""

    trained_at: datetime
    origin: ModelOrigin
    data_sha256: str
    example_count: int
    figures: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """What is known about one published version; `libraries` are names and versions it was trained with."""

    kind: ModelKind
    version: str
    sha256: str
    training: TrainingRecord
    libraries: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ModelStore:
    """The versions under one directory, which any number of processes read while one publishes."""

    directory: Path

    def publish(
        self, kind: ModelKind, arrays: Mapping[str, npt.NDArray[np.generic]], training: TrainingRecord
    ) -> ModelMetadata:
        """Store a model, make it the current one, and drop all but the newest few versions before it."""
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, **arrays)
        digest = hashlib.sha256(content.getbuffer()).hexdigest()
        metadata = ModelMetadata(
            kind=kind,
            version=f"{kind}-{digest[:_NAME_LENGTH]}",
            sha256=digest,
            training=training,
            libraries=tuple((name, library_version(name)) for name in _LIBRARIES),
        )
        home = self.directory / kind
        home.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".publishing-", dir=home))
        try:
            _write(unfinished / _MODEL, content.getvalue())
            _write(unfinished / _METADATA, _as_json(metadata))
            self._move_into_place(kind, unfinished, metadata.version)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        self.promote(kind, metadata.version)
        self._drop_old(kind)
        return metadata

    def promote(self, kind: ModelKind, version: str) -> None:
        """Make a stored version the current one: also the way back to an earlier model.

        Raises:
            ModelRefused: there is no such version, or its file was touched.
        """
        self.arrays(kind, version)
        pointer = self.directory / kind / _CURRENT
        handle, unfinished = tempfile.mkstemp(prefix=".pointing-", dir=pointer.parent)
        os.close(handle)
        _write(Path(unfinished), f"{version}\n".encode())
        Path(unfinished).replace(pointer)

    def current_version(self, kind: ModelKind) -> str | None:
        """The version in use, or None before the first was published."""
        try:
            return (self.directory / kind / _CURRENT).read_text(encoding="utf-8").strip() or None
        except FileNotFoundError:
            return None

    def versions(self, kind: ModelKind) -> tuple[ModelMetadata, ...]:
        """All stored versions, the latest trained first."""
        home = self.directory / kind
        found = [self.metadata(kind, path.parent.name) for path in home.glob(f"{kind}-*/{_METADATA}")]
        return tuple(sorted(found, key=lambda metadata: metadata.training.trained_at, reverse=True))

    def metadata(self, kind: ModelKind, version: str) -> ModelMetadata:
        """What is known about a version.

        Raises:
            ModelRefused: there is no such version, or what is known about it cannot be read.
        """
        try:
            return _from_json((self._home_of(kind, version) / _METADATA).read_bytes())
        except (OSError, ValueError, KeyError, TypeError) as problem:
            raise ModelRefused(f"{kind} model {version} has no readable metadata") from problem

    def arrays(self, kind: ModelKind, version: str) -> dict[str, npt.NDArray[np.generic]]:
        """A version's content, after its file proved to be the one that was published.

        Raises:
            ModelRefused: there is no such version, or its file was touched.
        """
        expected = self.metadata(kind, version).sha256
        try:
            content = (self._home_of(kind, version) / _MODEL).read_bytes()
        except OSError as problem:
            raise ModelRefused(f"{kind} model {version} has no readable file") from problem
        actual = hashlib.sha256(content).hexdigest()
        if actual != expected or version != f"{kind}-{actual[:_NAME_LENGTH]}":
            raise ModelRefused(f"{kind} model {version} is not the file that was published under this name")
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}

    def pointer_stamp(self, kind: ModelKind) -> tuple[int, int] | None:
        """Changes whenever another version becomes current; cheap enough to ask for at every message."""
        try:
            status = (self.directory / kind / _CURRENT).stat()
        except FileNotFoundError:
            return None
        return status.st_mtime_ns, status.st_ino

    def _home_of(self, kind: ModelKind, version: str) -> Path:
        if not version.startswith(f"{kind}-") or not version.removeprefix(f"{kind}-").isalnum():
            raise ModelRefused(f"{version!r} is no {kind} model")
        return self.directory / kind / version

    def _move_into_place(self, kind: ModelKind, unfinished: Path, version: str) -> None:
        home = self._home_of(kind, version)
        if home.exists():
            # The name is the content's hash: whoever was first has published the same model, unless it was damaged.
            try:
                self.arrays(kind, version)
            except ModelRefused:
                shutil.rmtree(home)
            else:
                return
        try:
            unfinished.rename(home)
        except OSError:
            self.arrays(kind, version)  # another process was faster with the same model

    def _drop_old(self, kind: ModelKind) -> None:
        current = self.current_version(kind)
        for metadata in [known for known in self.versions(kind) if known.version != current][_KEPT:]:
            shutil.rmtree(self.directory / kind / metadata.version, ignore_errors=True)


ModelT = TypeVar("ModelT")


class CurrentModel(Generic[ModelT]):
    """The current version of one kind, loaded again as soon as another becomes current.

    A new version that is refused never stops the work: the model at hand stays in use, and `refusal` says why.
    """

    def __init__(self, store: ModelStore, kind: ModelKind, build: Callable[[ModelArrays, str], ModelT]) -> None:
        self._store = store
        self._kind = kind
        self._build = build
        self._lock = Lock()
        self._stamp: tuple[int, int] | None = None
        self._model: ModelT | None = None
        self.refusal: ModelRefused | None = None

    def get(self) -> ModelT:
        """The model to use now.

        Raises:
            ModelRefused: no version was published yet, or the first one to load is not what was published.
        """
        stamp = self._store.pointer_stamp(self._kind)
        if self._model is None or stamp != self._stamp:
            with self._lock:
                if self._model is None or stamp != self._stamp:
                    self._load(stamp)
        if self._model is None:
            raise self.refusal or ModelRefused(f"no {self._kind} model was published yet")
        return self._model

    def _load(self, stamp: tuple[int, int] | None) -> None:
        self._stamp = stamp
        version = self._store.current_version(self._kind)
        if version is None:
            return
        try:
            self._model = self._build(self._store.arrays(self._kind, version), version)
        except ModelRefused as refusal:
            self.refusal = refusal
        else:
            self.refusal = None


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _as_json(metadata: ModelMetadata) -> bytes:
    training = metadata.training
    return json.dumps(
        {
            "kind": metadata.kind,
            "version": metadata.version,
            "sha256": metadata.sha256,
            "trained_at": training.trained_at.isoformat(),
            "origin": training.origin,
            "data_sha256": training.data_sha256,
            "example_count": training.example_count,
            "figures": dict(training.figures),
            "libraries": dict(metadata.libraries),
        },
        indent=2,
    ).encode()


def _from_json(content: bytes) -> ModelMetadata:
    known = json.loads(content)
    return ModelMetadata(
        kind=ModelKind(known["kind"]),
        version=str(known["version"]),
        sha256=str(known["sha256"]),
        training=TrainingRecord(
            trained_at=datetime.fromisoformat(known["trained_at"]),
            origin=ModelOrigin(known["origin"]),
            data_sha256=str(known["data_sha256"]),
            example_count=int(known["example_count"]),
            figures=tuple((str(name), float(figure)) for name, figure in known["figures"].items()),
        ),
        libraries=tuple((str(name), str(version)) for name, version in known["libraries"].items()),
    )

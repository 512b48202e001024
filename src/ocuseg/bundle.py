"""A trained model on disk: network, weights, preprocessing, classes, threshold, card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, with_config
from typing_extensions import TypedDict

from ocuseg import folders
from ocuseg.card import model_card
from ocuseg.classes import Classes, parse_classes
from ocuseg.errors import DataError, ModelError, UsageError
from ocuseg.files import hash_file
from ocuseg.geometry import Preprocessing
from ocuseg.wording import meant

__all__ = [
    "BUNDLE_SCHEMA",
    "Bundle",
    "BundleInfo",
    "PredictionSettings",
    "find_bundle",
    "load_bundle",
    "model_names",
    "require_replaceable",
    "write_bundle",
]

BUNDLE_SCHEMA = 1

_INFO, _ONNX, _WEIGHTS, _CARD = "bundle.json", "model.onnx", "model.safetensors", "README.md"
_FILES = (_INFO, _ONNX, _WEIGHTS, _CARD)
_RUN_FILES = ("recipe.yaml", "environment.json", "history.csv", "checkpoints")
_NO_DIGEST = "0" * 64


@with_config(ConfigDict(extra="forbid"))
class PredictionSettings(TypedDict):
    """How whole images are predicted: `tile_px` is the longest side seen at once, `overlap_px` what tiles share.

    Pieces of foreground below `smallest_piece_px`, counted at the scale that the network sees, are left out.
    `usual_doubts` are those of validation images at each scale (`Predictor.doubts`), where they help to choose one.
    """

    tile_px: Annotated[int, Field(ge=1)]
    overlap_px: Annotated[int, Field(ge=0)]
    flips: bool
    smallest_piece_px: NotRequired[Annotated[int, Field(ge=1)] | None]
    usual_doubts: NotRequired[Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=7, max_length=7)]]


class BundleInfo(BaseModel):
    """The content of `bundle.json`, in plain JSON types.

    `schema_version` is the key `schema` on disk. `threshold` is that of the one foreground class of two, None for
    more classes. `measures` are what is measured of each mask. `made_for` has the features of `ocuseg.suitability`
    of pictures that it was made for; one that is like none of them is flagged. `precision` is that of the weights in
    `model.onnx`; `quantisation` says what made them int8. `files` is filled in by `write_bundle`: the SHA-256 of each
    file; for `bundle.json` itself, that of its bytes with zeros in the place of this one digest.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_by_name=True, validate_by_alias=True, allow_inf_nan=False
    )

    schema_version: int = Field(default=BUNDLE_SCHEMA, alias="schema")
    name: Annotated[str, Field(min_length=1)]
    network: dict[str, Any]
    classes: list[dict[str, Any]]
    preprocessing: dict[str, Any]
    prediction: PredictionSettings
    threshold: Annotated[float, Field(ge=0, le=1)] | None
    threshold_chosen_on: str | None
    trained_on: dict[str, Any]
    scores: dict[str, Any]
    licence: str
    ocuseg_version: str
    encoding: dict[str, Any] | None = None
    measures: list[Literal["vessels"]] = Field(default_factory=list)
    made_for: list[dict[str, float]] | None = None
    precision: Literal["fp32", "int8"] = "fp32"
    quantisation: dict[str, Any] | None = None
    files: dict[str, str] = Field(default_factory=dict)

    @field_validator("made_for", mode="before")
    @classmethod
    def _without_ranges(cls, value: Any) -> Any:
        """Bundles of an earlier rule have a range for each feature; they are used as those without a rule."""
        return None if isinstance(value, dict) else value

    def to_json(self) -> dict[str, Any]:
        """Return the content of `bundle.json`."""
        return self.model_dump(mode="json", by_alias=True)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose files were found whole."""

    folder: Path
    info: BundleInfo
    classes: Classes
    preprocessing: Preprocessing

    @property
    def onnx_path(self) -> Path:
        """The network as an ONNX file: float32 images (N, 3, H, W) in, logits (N, C, H, W) out."""
        return self.folder / _ONNX

    @property
    def weights_path(self) -> Path:
        """The weights by their PyTorch names, as a safetensors file."""
        return self.folder / _WEIGHTS

    @property
    def card_path(self) -> Path:
        """The model card, as Markdown."""
        return self.folder / _CARD

    @property
    def digest(self) -> str:
        """The SHA-256 that stands for the whole bundle: it changes with any byte of any file."""
        return self.info.files[_INFO]


def write_bundle(
    folder: Path | str, info: BundleInfo, *, onnx_model: bytes, weights: bytes, readme: str | None = None
) -> Path:
    """Write a bundle, whole or not at all, and return its folder; `readme` takes the place of the generated card.

    A bundle that lies there already is replaced. Raises OutputError where the folder cannot be written or holds
    anything else, and ModelError where `info` does not fit together.
    """
    _interpret(info, str(folder))
    require_replaceable(folder)
    card = readme if readme is not None else model_card(info.to_json())
    with folders.folder_written_whole(folder) as staging:
        for name, content in ((_ONNX, onnx_model), (_WEIGHTS, weights), (_CARD, card.encode())):
            (staging / name).write_bytes(content)
        files = {name: hash_file(staging / name) for name in (_ONNX, _WEIGHTS, _CARD)} | {_INFO: _NO_DIGEST}
        final = info.model_copy(update={"schema_version": BUNDLE_SCHEMA, "files": files})
        (staging / _INFO).write_bytes(_sealed(final))
    return Path(folder)


def load_bundle(folder: Path | str) -> Bundle:
    """Return the bundle in `folder` after checking the SHA-256 of every file; no code from it is executed.

    Raises ModelError where it is no bundle, is of another schema version, lacks a file or has a changed byte.
    """
    path = Path(folder)
    if not (path / _INFO).is_file():
        raise ModelError(_no_bundle(path))
    info = _read_info(path)
    classes, preprocessing = _interpret(info, str(path))
    for name in _FILES:
        if name != _INFO:
            _require_digest(path / name, info.files[name])
    return Bundle(path, info, classes, preprocessing)


def find_bundle(model: str | Path) -> Path:
    """Return the folder of the bundle that `model` means: a bundle, a run folder, or the name of a shipped model.

    The name of a shipped model means that model; write `./name` for a folder of the same name. Raises UsageError
    for an unknown name or a path that does not exist, ModelError for a folder that holds no bundle.
    """
    text, path = str(model), Path(model)
    names = model_names()
    if text in names and not isinstance(model, Path):
        return _models_folder() / text
    if (path / _INFO).is_file():
        return path
    if (path / "bundle" / _INFO).is_file():
        return path / "bundle"
    if path.is_dir():
        raise ModelError(_no_bundle(path))
    if path.is_file():
        raise ModelError(f"{model}: is a file, but a model is a folder with {_INFO}; give the bundle or run folder")
    if text in names:
        return _models_folder() / text
    if len(path.parts) > 1 or text.startswith("."):
        raise UsageError(f"{model}: does not exist; give a bundle, a run folder or {_known(names)}")
    raise UsageError(
        f"{model}: is neither a folder nor a shipped model; {meant(text, names)}give a folder or {_known(names)}"
    )


def model_names() -> tuple[str, ...]:
    """Return the names of the models that ship with the package, sorted."""
    folder = _models_folder()
    return tuple(sorted(path.parent.name for path in folder.glob(f"*/{_INFO}"))) if folder.is_dir() else ()


def require_replaceable(folder: Path | str) -> None:
    """Raise OutputError unless a bundle can be written to `folder`; to be asked before the work.

    It can where nothing is yet, where the folder is empty, and where it holds nothing but a bundle.
    """
    folders.require_replaceable(
        folder,
        _FILES,
        lambda target: (target / _INFO).exists(),
        result="the bundle",
        foreign="which is no part of a bundle",
    )


def _models_folder() -> Path:
    return Path(__file__).with_name("models")


def _known(names: tuple[str, ...]) -> str:
    return f"one of the shipped models {', '.join(names)}" if names else "train a model (this version ships none)"


def _no_bundle(path: Path) -> str:
    if not path.is_dir():
        return f"{path}: is no bundle: there is no such folder; give a folder with {_INFO}"
    if (path / "folds.csv").is_file():
        return f"{path}: is a cross-validation that has not ended; go on with 'ocuseg train --resume {path}'"
    if any((path / name).exists() for name in _RUN_FILES):
        return f"{path}: is a run without a bundle; make one with 'ocuseg export {path} --out {path / 'bundle'}'"
    return f"{path}: is no bundle (it holds no {_INFO}); give a bundle or a run folder, or make one with 'ocuseg train'"


def _read_info(path: Path) -> BundleInfo:
    where = path / _INFO
    try:
        raw = where.read_bytes()
        content = json.loads(raw)
    except OSError as error:
        raise ModelError(f"{where}: cannot be read ({(error.strerror or str(error)).lower()}); copy it anew") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{where}: is damaged (no valid JSON); copy or export the bundle again") from error
    if not isinstance(content, Mapping):
        raise ModelError(f"{where}: is no bundle description; copy or export the bundle again")
    version = content.get("schema")
    if version != BUNDLE_SCHEMA:
        raise ModelError(
            f"{where}: has schema version {version!r}, this ocuseg reads {BUNDLE_SCHEMA}; "
            "export the bundle again or install the version of ocuseg that wrote it"
        )
    files = content.get("files")
    if not isinstance(files, Mapping) or set(files) != set(_FILES):
        raise ModelError(f"{where}: must list the SHA-256 of {', '.join(_FILES)}; copy or export the bundle again")
    digest = str(files[_INFO]).encode()
    if len(digest) != len(_NO_DIGEST) or _digest_of(raw.replace(digest, _NO_DIGEST.encode())) != digest.decode():
        raise ModelError(f"{where}: was changed since it was written (SHA-256); copy or export the bundle again")
    try:
        return BundleInfo.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ModelError(f"{where}: {place}: {first['msg'].lower()}; export the bundle again") from error


def _interpret(info: BundleInfo, where: str) -> tuple[Classes, Preprocessing]:
    try:
        classes = parse_classes(info.classes, where="classes")
        preprocessing = Preprocessing.from_json(info.preprocessing)
    except (DataError, UsageError) as error:
        raise ModelError(f"{where}: {error}; export the bundle again") from error
    channels = info.network.get("out_channels", classes.out_channels)
    if channels != classes.out_channels:
        raise ModelError(
            f"{where}: the network gives {channels} channels, but {len(classes)} classes need {classes.out_channels}; "
            "export the bundle again"
        )
    if info.prediction["overlap_px"] >= info.prediction["tile_px"]:
        raise ModelError(f"{where}: tiles of {info.prediction['tile_px']} px overlap wholly; lower overlap_px")
    return classes, preprocessing


def _require_digest(path: Path, expected: str) -> None:
    try:
        found = hash_file(path)
    except FileNotFoundError as error:
        raise ModelError(f"{path}: is missing; copy or export the bundle again") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({(error.strerror or str(error)).lower()}); copy it anew") from error
    if found != expected:
        raise ModelError(f"{path}: was changed since it was written (SHA-256); copy or export the bundle again")


def _digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _sealed(info: BundleInfo) -> bytes:
    """The bytes of `bundle.json` with their own digest in the place of the zeros, which are the last in the file."""
    text = json.dumps(info.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    before, _, after = text.rpartition(_NO_DIGEST)
    return f"{before}{_digest_of(text.encode())}{after}".encode()

"""Whatever is wrong with the input: one line that says what, where and the remedy, and nothing is lost.

Each case runs in a copy of a small world (see `conftest.py`), with its own folder as the working folder.
"""

from __future__ import annotations

import csv
import json
import os
import shlex
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from ocuseg.phantom import eye_classes

IMAGE = Path("data/test/images/img_0007.png")
MASK = Path("data/test/masks/img_0007_mask.png")
FIELD_OF_VIEW = Path("data/test/field_of_view/img_0007.png")
TWO_CLASSES = "expected only 0 and 1"


@dataclass(frozen=True)
class Case:
    """A command that must fail.

    `words` are all in the one line that it says; `spoil` makes the world bad first; `writes` is the folder that may be
    new afterwards, because one bad image among many does not keep the others from being done.
    """

    what: str
    command: str
    words: tuple[str, ...]
    spoil: Callable[[], object] = lambda: None
    status: int = 1
    writes: str | None = None

    def __str__(self) -> str:
        return f"{self.what}: {self.command}"


# --- what can be wrong with a data set -------------------------------------------------------------------------------


def _no_image() -> None:
    IMAGE.write_text("this is a letter, not a picture\n" * 20)


def _truncated() -> None:
    IMAGE.write_bytes(IMAGE.read_bytes()[:-200])


def _one_pixel() -> None:
    Image.new("RGB", (1, 1), (200, 80, 10)).save(IMAGE)
    Image.new("L", (1, 1), 1).save(MASK)
    Image.new("L", (1, 1), 255).save(FIELD_OF_VIEW)


def _bomb() -> None:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    IMAGE.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


def _other_size() -> None:
    Image.new("P", (50, 60)).save(MASK)


def _unpaired_mask() -> None:
    shutil.copy(MASK, MASK.with_name("img_0099_mask.png"))


def _unpaired_image() -> None:
    MASK.unlink()


def _wrong_id() -> None:
    picture = Image.open(MASK)
    ids = np.array(picture)
    ids[3, 3] = 7
    spoilt = Image.fromarray(ids)
    spoilt.putpalette(picture.getpalette() or [])
    spoilt.save(MASK)


_SHOWN_IMAGE, _SHOWN_MASK = "test/images/img_0007.png", "test/masks/img_0007_mask.png"
# What is wrong, how, the words that check, train and evaluate say of it, and whether predict minds it too.
_FAULTS: list[tuple[str, Callable[[], None], tuple[str, ...], bool]] = [
    ("a file that is not an image", _no_image, (_SHOWN_IMAGE, "found not an image", "give PNG, JPEG, TIFF"), True),
    ("a truncated PNG", _truncated, (_SHOWN_IMAGE, "found a truncated or damaged PNG", "export it again"), True),
    ("a 1 x 1 image", _one_pixel, (_SHOWN_IMAGE, "expected at least 8 x 8 px, found 1 x 1 px", "remove it"), False),
    ("a decompression bomb", _bomb, (_SHOWN_IMAGE, "claims 20000 x 20000 pixels"), True),
    (
        "a mask of another size",
        _other_size,
        (_SHOWN_MASK, "expected the size of the image, 64 x 64 px", "found 60 x 50 px", "export it again"),
        False,
    ),
    (
        "an unpaired mask",
        _unpaired_mask,
        ("test/masks/img_0099_mask.png", "expected an image in test/images/", "add its image or remove it"),
        False,
    ),
    (
        "an image without a mask",
        _unpaired_image,
        (_SHOWN_IMAGE, "expected a mask in test/masks/", "add its mask or remove it"),
        False,
    ),
    (
        "a class id out of range",
        _wrong_id,
        (_SHOWN_MASK, TWO_CLASSES, "found the value 7 in 0.02%", "correct the mask", "mask_values"),
        False,
    ),
]


def _data_cases() -> list[Case]:
    cases = []
    for what, spoil, words, is_for_predict in _FAULTS:
        cases += [
            Case(what, "check data", words, spoil),
            Case(what, "train data --out new", words, spoil),
            Case(what, "evaluate bundle data --out new", words, spoil, writes="new"),
        ]
        if is_for_predict:
            said = tuple(word.replace("found ", "is ") for word in words)
            cases.append(Case(what, "predict bundle data/test/images --out new", said, spoil, writes="new"))
    return cases


# --- what can be wrong with many classes ------------------------------------------------------------------------------


def _eye_masks(split: str) -> list[Path]:
    return sorted(Path("eyes", split, "masks").iterdir())


def _in_colours() -> None:
    for path in [*_eye_masks("train"), *_eye_masks("val")]:
        with Image.open(path) as mask:
            Image.fromarray(eye_classes().colours[np.array(mask)]).save(path)


def _unknown_colour(split: str) -> Callable[[], None]:
    def spoil() -> None:
        _in_colours()
        path = _eye_masks(split)[0]
        with Image.open(path) as mask:
            colours = np.array(mask)
        colours[3:5, 3:5] = (250, 160, 5)
        Image.fromarray(colours).save(path)

    return spoil


def _unknown_id(split: str, *, as_palette: bool) -> Callable[[], None]:
    def spoil() -> None:
        path = _eye_masks(split)[0]
        with Image.open(path) as mask:
            ids = np.array(mask)
        ids[3:5, 3:5] = 9
        spoilt = Image.fromarray(ids)
        if as_palette:
            spoilt.putpalette([*range(30)])
        spoilt.save(path)

    return spoil


def _nowhere_marked() -> None:
    for path in _eye_masks("train"):
        with Image.open(path) as mask:
            ids = np.array(mask)
        Image.fromarray(np.where(ids == 4, 0, ids).astype(np.uint8)).save(path)


def _table(number: int, **changes: object) -> Callable[[], None]:
    def spoil() -> None:
        path = Path("eyes/classes.yaml")
        rows = yaml.safe_load(path.read_text())
        rows[number] |= changes
        path.write_text(yaml.safe_dump(rows))

    return spoil


def _class_cases() -> list[Case]:
    cases = []
    stray = (
        "found the value #faa005 in 0.10% of the pixels",
        "nearest to #faa005 is #e69f00, class 2 pupil",
        "correct",
    )
    number = ("expected only 0, 1, 2, 3 and 4, found the value 9 in 0.10% of the pixels", "correct the mask")
    check, train, evaluate = (
        "check eyes",
        "train eyes --out new --set loss=ce_dice",
        "evaluate eye-bundle eyes --out new",
    )
    for split, name in (("train", "train/masks/mask1.png"), ("val", "val/masks/mask5.png")):
        faults = [
            ("an unknown colour", _unknown_colour(split), (name, *stray)),
            ("an id beyond the classes", _unknown_id(split, as_palette=False), (name, *number)),
            ("a palette index beyond the classes", _unknown_id(split, as_palette=True), (name, *number)),
        ]
        for what, spoil, words in faults:
            cases += [Case(what, check, words, spoil), Case(what, train, words, spoil)]
            if split == "val":
                cases.append(Case(what, evaluate, words, spoil, writes="new"))
    tables = [
        ("an id twice", _table(4, id=3), ("the id 3 is given twice", "give each class its own")),
        ("a name twice", _table(4, name="iris"), ("the name 'iris' is given twice", "give each class its own")),
        ("a gap in the ids", _table(4, id=7), ("without a gap", "found 0, 1, 2, 3, 7", "renumber them")),
        ("an unknown parent", _table(3, parent="lens"), ("cataract has the unknown parent 'lens'", "name another")),
        ("its own parent", _table(3, parent="cataract"), ("cataract is a part of itself", "leave out its 'parent'")),
        ("a colour that is none", _table(1, colour="blue"), ("iris has the colour 'blue'", '"#rrggbb"')),
    ]
    for what, spoil, words in tables:
        for command in (check, train):
            cases.append(Case(what, command, ("classes.yaml: ", *words), spoil))
    given = "[{id: 0, name: background}, {id: 1, name: iris}, {id: 1, name: pupil}]"
    for command in (check, train):
        missing = ("expected pixels of class 4 (instrument) in train, found none", "add masks, or drop the class")
        cases.append(Case("a class that no training mask holds", command, missing, _nowhere_marked))
        twice = ("the recipe's classes: the id 1 is given twice; give each class its own",)
        cases.append(Case("an id twice in the recipe", f"{command} --set 'classes={given}'", twice))
    return cases


# --- folders that are missing or empty, commands that lack something --------------------------------------------------


def _empty() -> None:
    Path("empty").mkdir()


def _only_training() -> None:
    for name in ("validation", "test"):
        shutil.rmtree(Path("data") / name)
    for folder in Path("data/training").iterdir():
        for path in sorted(folder.iterdir())[1:]:
            path.unlink()


def _two_sizes() -> None:
    for path in Path("data/training").glob("*/img_0001*.png"):
        with Image.open(path) as picture:
            larger = picture.resize((72, 72), Image.Resampling.NEAREST)
        larger.save(path)


def _two_folds() -> None:
    rows = [f"test/images/img_000{n}.png,test/masks/img_000{n}_mask.png,{n % 2}" for n in (7, 8, 9)]
    rows += [f"training/images/img_000{n}.png,training/masks/img_000{n}_mask.png,{n % 2}" for n in (1, 2, 3)]
    Path("data/split.csv").write_text("\n".join(["image,mask,fold", *rows]) + "\n")


def _a_row_without_fold() -> None:
    _two_folds()
    Path("data/split.csv").write_text(Path("data/split.csv").read_text().removesuffix("1\n") + "\n")


_FOLDER = ("nowhere: does not exist; give a folder of images and masks, or a split CSV",)
_NO_DATA = ("empty: is an empty folder", "it needs train/ and val/", "images/ and masks/", "split CSV")
_NO_RUN = ("holds no run", "start one with 'ocuseg train DATA --out")
_NO_BUNDLE = ("empty: is no bundle", "holds no bundle.json", "give a bundle or a run folder")


def _no_vessel_in_val() -> None:
    for path in Path("data/validation/masks").iterdir():
        with Image.open(path) as mask:
            Image.fromarray(np.zeros_like(np.array(mask))).save(path)


_PLACES = [
    Case(
        "validation without a vessel",
        "train data --out new",
        ("data: no mask of val shows vessel, to choose the threshold on; move images that do into val",),
        _no_vessel_in_val,
    ),
    Case("a missing folder", "check nowhere", _FOLDER, status=2),
    Case("a missing folder", "train nowhere --out new", _FOLDER, status=2),
    Case("a missing folder", "evaluate bundle nowhere --out new", _FOLDER, status=2),
    Case("a missing folder", "export run --data nowhere --out new", _FOLDER, status=2),
    Case("a missing folder", "predict bundle nowhere --out new", ("nowhere: does not exist; give an image",), status=2),
    Case("a missing run", "export nowhere --out new", ("nowhere: ", *_NO_RUN)),
    Case("a missing run", "train --resume nowhere", ("nowhere: ", *_NO_RUN)),
    Case("a missing folder", "compare first nowhere", ("nowhere: does not exist; give a folder that",), status=2),
    Case("a missing folder", "compare nowhere first", ("nowhere: does not exist; give a folder that",), status=2),
    Case("an empty folder", "check empty", _NO_DATA, _empty),
    Case("an empty folder", "train empty --out new", _NO_DATA, _empty),
    Case("an empty folder", "evaluate bundle empty --out new", _NO_DATA, _empty),
    Case("an empty folder", "evaluate empty data --out new", _NO_BUNDLE, _empty),
    Case("an empty folder", "predict empty data/test/images --out new", _NO_BUNDLE, _empty),
    Case("an empty folder", "predict bundle empty --out new", ("empty: holds no image", "give a folder with"), _empty),
    Case("an empty folder", "export empty --out new", ("empty: ", *_NO_RUN), _empty),
    Case("an empty folder", "compare empty first", ("empty: holds no metrics.json; give",), _empty, status=2),
    Case("a folder of folders", "predict bundle data --out new", ("data: holds no image", "folders in it are not")),
    Case("a picture for data", f"check {IMAGE}", ("img_0007.png: is no folder and no CSV; give a folder",), status=2),
    Case("no data given", "train --out new", ("no data were given; name a folder",), status=2),
    Case("no data given", "check", ("missing argument", "see 'ocuseg check --help'"), status=2),
    Case("no data given", "evaluate bundle", ("missing argument", "see 'ocuseg evaluate --help'"), status=2),
    Case("no data given", "predict bundle --out new", ("missing argument", "see 'ocuseg predict --help'"), status=2),
    Case("nothing given", "export", ("missing argument", "see 'ocuseg export --help'"), status=2),
    Case("nothing given", "compare first", ("missing argument", "see 'ocuseg compare --help'"), status=2),
    Case("too many folds", "train data --folds 10 --out new", ("data: 9 images cannot make 10 folds; give",), status=2),
    Case("one fold", "train data --folds 1 --out new", ("1 folds are no cross-validation; give --folds 2",), status=2),
    Case("folds that are no number", "train data --folds x --out new", ("'--folds'", "valid integer"), status=2),
    Case(
        "another number of folds",
        "train data --folds 3 --out new",
        ("data: the column 'fold' has 2 folds (0, 1); give --folds 2, or leave the column out",),
        _two_folds,
        status=2,
    ),
    Case(
        "an image without a fold",
        "train data --folds 2 --out new",
        ("data: img_0003 has no fold (1 of 6 images); fill in the column 'fold'",),
        _a_row_without_fold,
    ),
    Case(
        "folds of a resumed run",
        "train --resume run --folds 3",
        ("a resumed run keeps its folds; leave out --folds",),
        status=2,
    ),
    Case("no validation", "train data --out new", ("data: has no images of val", "add that split"), _only_training),
    Case(
        "images of different sizes",
        "train data --out new --set preprocessing.size=null",
        ("different sizes; set 'crop_px' or 'preprocessing.size' in the recipe",),
        _two_sizes,
    ),
    Case(
        "an unknown split", "evaluate bundle data --split tset --out new", ("no split 'tset'", "it has test"), status=2
    ),
    Case(
        "an unknown command",
        "evalaute data",
        ("no such command 'evalaute'. Did you mean 'evaluate'? see 'ocuseg",),
        status=2,
    ),
    Case("an unknown option", "check data --jsno x", ("no such option: --jsno", "see 'ocuseg check --help'"), status=2),
    Case("an unknown word", "evaluate bundle data --region eye", ("'--region'", "'eye' is not one of"), status=2),
    Case("an unknown device", "train data --device tpu --out new", ("device 'tpu' is unknown; give auto",), status=2),
    Case(
        "no probability", f"predict bundle {IMAGE} --out new --threshold 2", ("2.0", "give one from 0 to 1"), status=2
    ),
]


# --- recipes ---------------------------------------------------------------------------------------------------------


def _recipe(text: str | bytes) -> Callable[[], object]:
    content = text if isinstance(text, bytes) else text.encode()
    return lambda: Path("mine/recipe.yaml").write_bytes(content)


_BAD_RECIPES: list[tuple[str, str, str, tuple[str, ...]]] = [
    (
        "a wrong key",
        "epohcs: 3\n",
        "--set epohcs=3",
        ("unknown key 'epohcs'; did you mean 'epochs'? accepted are ver",),
    ),
    (
        "a wrong inner key",
        "preprocessing: {sise: [64, 64]}\n",
        "--set preprocessing.sise=[64,64]",
        ("unknown key 'preprocessing.sise'; did you mean 'size'? accepted are crop, size",),
    ),
    ("a wrong value", "epochs: many\n", "--set epochs=many", ("'epochs' is 'many': input should be a valid integer",)),
    ("a value out of range", "epochs: 0\n", "--set epochs=0", ("'epochs' is 0: input should be greater",)),
    (
        "a word that is not a choice",
        "monitor: dice\n",
        "--set monitor=dice",
        ("'monitor' is 'dice': input should be 'val_dice', 'val_iou' or 'val_loss'",),
    ),
    (
        "one number for two",
        "preprocessing: {size: 256}\n",
        "--set preprocessing.size=256",
        ("'preprocessing.size' is 256: it must be a list such as [256, 256]",),
    ),
    ("a value for a group", "augmentation: 5\n", "--set augmentation=5", ("'augmentation' is 5: it must hold 'key:",)),
    (
        "a wrong weight",
        "loss: {bce: x}\n",
        "--set 'loss={bce: x}'",
        ("'loss.bce' is 'x': input should be a valid num",),
    ),
    (
        "another version",
        "version: 2\n",
        "--set version=2",
        ("the recipe has version 2, this program reads version 1; start again from a recipe that 'ocuseg recipes'",),
    ),
]


def _recipe_cases() -> list[Case]:
    cases = []
    for what, text, option, words in _BAD_RECIPES:
        for command in ("check data", "train data --out new", "evaluate bundle data --out new"):
            given = f"{command} --recipe mine/recipe.yaml"
            cases.append(Case(what, given, ("mine/recipe.yaml: ", *words), _recipe(text), status=2))
            cases.append(Case(what, f"{command} {option}", words, status=2))
    for command in ("check data", "train data --out new", "evaluate bundle data --out new"):
        unknown = ("vesels: is neither a shipped recipe nor a file; did you mean 'vessels'? shipped recipes are",)
        yaml = ("mine/recipe.yaml: is not valid YAML", "mend the line")
        cases += [
            Case("an unknown recipe", f"{command} --recipe vesels", unknown, status=2),
            Case("no YAML", f"{command} --recipe mine/recipe.yaml", yaml, _recipe("a: [1,\nb"), status=2),
            Case(
                "no text",
                f"{command} --recipe mine/recipe.yaml",
                ("mine/recipe.yaml: cannot be read as text; give a YAML file",),
                _recipe(b"\xff\xfe\0"),
                status=2,
            ),
            Case("no recipe", f"{command} --recipe file.txt", ("file.txt: holds no 'key: value' lines",), status=2),
            Case("no value", f"{command} --set epochs", ("--set epochs: has no '='; write key=value",), status=2),
        ]
    train = "train data --out new --set"
    network = "unknown name 'unett'; did you mean 'unet'? accepted: unet, unet-small"
    return [
        *cases,
        Case("an unknown network", f"{train} network.name=unett", (network,), status=2),
        Case(
            "an unknown key",
            f"{train} network.widht=4",
            (
                "unet-small",
                "did you mean 'width'? accepted",
            ),
            status=2,
        ),
        Case(
            "an unknown loss",
            f"{train} loss=bce_dcie",
            (
                "loss",
                "did you mean 'bce_dice'? accepted: bce",
            ),
            status=2,
        ),
        Case(
            "an unfit loss",
            f"{train} class_weights=inverse --set loss=dice",
            ("class or positive weights act on bce",),
            status=2,
        ),
    ]


# --- models ----------------------------------------------------------------------------------------------------------


def _without_bundle() -> None:
    shutil.rmtree("run/bundle")


def _changed(name: str) -> Callable[[], None]:
    def spoil() -> None:
        path = Path("bundle") / name
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)

    return spoil


def _cut_checkpoint() -> None:
    path = Path("run/checkpoints/best.ckpt")
    path.write_bytes(path.read_bytes()[:1000])


def _other_data() -> None:
    Image.open(IMAGE).rotate(90).save("data/training/images/img_0001.png")


def _moved_data() -> None:
    path = Path("run/findings.json")
    findings = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(findings | {"data": "nowhere"}), encoding="utf-8")


def _spoilt_cell(column: str, cell: str) -> Callable[[], None]:
    def spoil() -> None:
        path = Path("second/per_image.csv")
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        next(row for row in rows if row["image"] == "img_0007")[column] = cell
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    return spoil


def _model_cases() -> list[Case]:
    uses = ("evaluate {} data --out new", "predict {} data/test/images --out new", "train data --out new --from {}")
    cases = []
    for use in uses:
        unknown = ("vessel: is neither a folder nor a shipped model", "give a folder or")
        no_bundle = ("run: is a run without a bundle; make one with 'ocuseg export run --out run/bundle'",)
        a_file = ("file.txt: is a file, but a model is a folder with bundle.json; give the bundle or run folder",)
        no_model = ("bundle/model.onnx: is missing; copy or export the bundle again",)
        cases += [
            Case("an unknown model", use.format("vessel"), unknown, status=2),
            Case("a run without a bundle", use.format("run"), no_bundle, _without_bundle),
            Case("a file for a model", use.format("file.txt"), a_file),
            Case("a bundle without its model", use.format("bundle"), no_model, Path("bundle/model.onnx").unlink),
        ]
        for name in ("bundle.json", "model.onnx", "model.safetensors", "README.md"):
            words = (f"bundle/{name}: was changed since it was written", "copy or export the bundle again")
            cases.append(Case("a byte changed", use.format("bundle"), words, _changed(name)))
    return [
        *cases,
        Case(
            "weights of another network",
            "train data --out new --from run --set 'network={name: unet-small, width: 8, depth: 2}'",
            ("its network has width 4, the recipe 8; set network.width=4",),
        ),
        Case(
            "a cut checkpoint",
            "export run --data data --out new",
            ("run/checkpoints/best.ckpt: is not a usable checkpoint", "train again"),
            _cut_checkpoint,
        ),
        Case(
            "no checkpoint",
            "export run --data data --out new",
            ("run/checkpoints/best.ckpt: does not exist yet; go on with 'ocuseg train --resume RUN'",),
            lambda: Path("run/checkpoints/best.ckpt").unlink(),
        ),
        Case("other data", "export run --data data --out new", ("run: was trained on other data",), _other_data),
        Case(
            "data that were moved",
            "export run --out new",
            ("the data of run are not there any more; say where they are: --data DATA",),
            _moved_data,
            status=2,
        ),
        Case(
            "data that were moved",
            "train --resume run",
            ("are not there any more; say where they are: ocuseg train DATA --resume run",),
            _moved_data,
            status=2,
        ),
        Case("a model for a run", "export bundle --out new", ("bundle: is a finished model and no run; give",)),
        Case("other data", "train data --resume run", ("run: was trained on other data", "restore"), _other_data),
        Case(
            "a recipe for a resumed run",
            "train --resume run --set epochs=3",
            ("a resumed run keeps its recipe and folder; leave out --recipe",),
            status=2,
        ),
        Case(
            "a cut evaluation",
            "compare first second",
            ("second: cannot be read as an evaluation (rows are missing); run 'ocuseg evaluate' again",),
            lambda: Path("second/per_image.csv").write_text("image,class_id\n"),
        ),
        Case(
            "a cell with a comma in its number",
            "compare first second",
            ("second: cannot be read as an evaluation (per_image.csv: img_0007: dice is '0,81', no number); run",),
            _spoilt_cell("dice", "0,81"),
        ),
        Case(
            "a class id that is none",
            "compare first second",
            ("second: cannot be read as an evaluation (per_image.csv: img_0007: class_id is 'vessel', no number)",),
            _spoilt_cell("class_id", "vessel"),
        ),
    ]


# --- places that cannot be written -----------------------------------------------------------------------------------


def _output_cases() -> list[Case]:
    jobs = (
        "train data --out {}",
        "evaluate bundle data --out {}",
        "predict bundle data/test/images --out {}",
        "export run --data data --out {}",
    )
    cases = [Case("a file in its place", job.format("file.txt"), ("file.txt: ", "folder"), status=1) for job in jobs]
    cases += [
        Case("a file above it", job.format("file.txt/new"), ("file.txt/new: cannot be", "give an")) for job in jobs
    ]
    remedies = {0: "is not empty; give another --out", 1: "give a new or empty folder", 3: "give a new or empty folder"}
    cases += [Case("not empty", jobs[job].format("mine"), ("mine: ", remedy)) for job, remedy in remedies.items()]
    if Path("/proc/self").exists():  # no folder can be made here, not even by root
        cases += [Case("not writable", job.format("/proc/new"), ("/proc/new: cannot be", "give an")) for job in jobs]
    return [
        *cases,
        Case("a run in its place", "train data --out run", ("run: is not empty", "go on with --resume run")),
        Case("a file above it", "check data --json file.txt/a.json", ("file.txt/a.json: cannot be written", "give an")),
        Case("a folder in its place", "check data --json mine", ("mine: cannot be written (is a directory)",)),
        Case("a file in its place", "demo data --out file.txt", ("file.txt/run: cannot be made as a folder",)),
        Case(
            "masks drawn by hand in its place",
            "predict bundle data/test/images --out data/test/field_of_view",
            ("img_0007.png: was not written by 'ocuseg predict' and would be lost; give another folder",),
        ),
        Case(
            "the images in its place",
            "predict bundle data/test/images --out data/test/images",
            ("img_0007.png: would be written over the image", "give another output folder"),
            status=2,
        ),
    ]


CASES = [*_data_cases(), *_class_cases(), *_PLACES, *_recipe_cases(), *_model_cases(), *_output_cases()]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_bad_input_gets_one_line_and_nothing_is_lost(case: Case, ocuseg, world: Path) -> None:
    case.spoil()
    before = _contents(world)

    answer = ocuseg(case.command)

    assert answer.status == case.status
    lines = _complaints(case, answer)
    assert len(lines) == 1, answer.err
    for word in case.words:
        assert word in lines[0]
    assert "Traceback" not in answer.err + answer.out
    after = _contents(world)
    assert {path: content for path, content in after.items() if path in before} == before
    new = [Path(path) for path in after if path not in before]
    assert all(path.parts[0] == case.writes for path in new), new
    assert not any(part.startswith(".") or ".tmp" in part for path in new for part in path.parts)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("job", ["evaluate bundle data", "predict bundle data/test/images", "export run --data data"])
def test_a_folder_without_permission(job: str, ocuseg, world: Path) -> None:
    Path("mine").chmod(0o555)
    try:
        answer = ocuseg(f"{job} --out mine/new")
    finally:
        Path("mine").chmod(0o755)
    assert answer.status == 1
    assert "mine/new: cannot be" in answer.err
    assert "permission denied" in answer.err


def test_a_class_that_validation_lacks_is_warned_of_and_has_no_score(ocuseg, world: Path) -> None:
    for path in _eye_masks("val"):
        with Image.open(path) as mask:
            ids = np.array(mask)
        Image.fromarray(np.where(ids == 4, 0, ids).astype(np.uint8)).save(path)
    answer = ocuseg("check eyes")
    assert answer.status == 0
    (line,) = (line for line in answer.out.splitlines() if line.startswith("warning"))
    assert "class-absent" in line
    assert "expected pixels of class 4 (instrument) in val, found none" in line
    assert "instrument is in no reference mask" in ocuseg("evaluate eye-bundle eyes --out new").out
    scores = json.loads(Path("new/metrics.json").read_text())["classes"]
    assert [row["recall"]["pooled"] is None for row in scores] == [False, False, False, True]


def test_evaluate_says_what_is_wrong_with_a_field_of_view(ocuseg, world: Path) -> None:
    views = {7: "", 8: "v.png"}
    rows = [f"test/images/img_000{n}.png,test/masks/img_000{n}_mask.png,test,{view}" for n, view in views.items()]
    Path("data/split.csv").write_text("\n".join(["image,mask,split,field_of_view", *rows]) + "\n")
    Image.new("L", (9, 9), 255).save("data/v.png")
    answer = ocuseg("evaluate bundle data --out new")
    assert answer.status == 1
    assert "v.png: expected" in answer.err
    assert "cannot be scored" not in answer.err


def test_several_findings_are_listed_a_line_each(ocuseg, world: Path) -> None:
    _truncated()
    _unpaired_mask()
    Path("data/training/masks/img_0001_mask.png").unlink()
    for command, listed in (("check data", 3), ("train data --out new", 3), ("evaluate bundle data --out new", 2)):
        answer = ocuseg(command)
        said = answer.out if command.startswith("check") else answer.err
        lines = [line for line in said.splitlines() if "; " in line and "expected" in line]
        assert answer.status == 1
        assert len(lines) == listed, said


def test_an_image_that_a_split_file_lists_and_that_is_not_there_is_missed_in_its_split_alone(ocuseg, world) -> None:
    rows = [f"test/images/img_000{n}.png,test/masks/img_000{n}_mask.png,test" for n in (7, 8, 9)]
    rows.append("training/images/img_0001.png,training/masks/img_0001_mask.png,train")
    Path("data/split.csv").write_text("\n".join(["image,mask,split", *rows]) + "\n")
    assert ocuseg("evaluate bundle data --out whole").status == 0
    IMAGE.unlink()
    answer = ocuseg("evaluate bundle data --out new")
    assert answer.status == 1
    assert "test/images/img_0007.png: expected the image of split.csv, line 2, found no such file" in answer.err
    assert len(answer.err.splitlines()) == 2  # the other one says what computes
    assert ocuseg("evaluate bundle data --out other --split train").status == 0


def test_one_bad_image_does_not_keep_the_others_from_being_done(ocuseg, world: Path) -> None:
    _bomb()
    answer = ocuseg("predict bundle data/test/images --out masks")
    assert answer.out == "wrote 2 masks, areas.csv to masks, 1 failed\n"
    # Images of that size can be predicted, but not one of so few bytes; for training it would be too large as well.
    assert answer.err.endswith("cannot hold; it is cut off or made to exhaust memory: copy or export it again\n")
    assert "more than 150 million in 74 bytes; scale it down or cut it into parts" in ocuseg("check data").out
    assert sorted(path.name for path in Path("masks").iterdir()) == [
        "areas.csv",
        "img_0008.png",
        "img_0009.png",
        "predicted.jsonl",
    ]
    with Image.open("masks/img_0008.png") as mask:
        assert mask.size == (64, 64)


def test_debug_adds_the_traceback_at_any_place(ocuseg, world: Path) -> None:
    plain = ocuseg("check nowhere")
    for command in ("--debug check nowhere", "check --debug nowhere", "check nowhere --debug"):
        answer = ocuseg(command)
        assert answer.status == 2
        assert answer.err.startswith("Traceback (most recent call last):")
        assert answer.err.endswith(plain.err)


@pytest.mark.parametrize(
    "command",
    ["check nowhere", "check", "check data", "predict bundle data/test/images --out new --debug --threshold 3"],
)
def test_this_process_answers_as_a_process_of_its_own(command: str, ocuseg, world: Path) -> None:
    _no_image()
    here = ocuseg(command)
    there = subprocess.run(
        [sys.executable, "-m", "ocuseg", *shlex.split(command)], capture_output=True, text=True, check=False
    )
    assert (there.returncode, there.stdout) == (here.status, here.out)
    assert there.stderr.splitlines()[-1:] == here.err.splitlines()[-1:]


def _contents(folder: Path) -> dict[str, bytes | None]:
    """Every file below a folder with its content, every folder with None."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")
    }


def _complaints(case: Case, answer) -> list[str]:
    """The lines that say what is wrong; what check finds is its result, and so on stdout."""
    findings = [line for line in answer.out.splitlines() if line.startswith("error ")]
    notices = (
        "check: ",
        "drawing ",
        "layout: ",
        "note: ",
        "warning: ",
        "run ",
        "precision ",
        "runtime ",
        "ocuseg: dead: ",
    )  # of the log, before the command came to the fault
    said = [line for line in answer.err.splitlines() if not line.startswith(notices)]
    return findings + [line for line in said if "were decoded before" not in line]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
@pytest.mark.parametrize("command", ["check data", "train data --out new", "predict bundle {folder} --out new"])
def test_a_name_that_is_not_utf8_is_named(world: Path, ocuseg, command: str) -> None:
    shutil.copy(IMAGE, IMAGE.parent / os.fsdecode(b"Aug\xe4.png"))
    answer = ocuseg(command.format(folder=IMAGE.parent))
    assert answer.status == 1
    assert answer.err.splitlines()[-1] == (
        f"ocuseg: {IMAGE.parent}/Aug\\xe4.png: the name is not UTF-8, so no table or page can hold it; rename it"
    )
    assert not Path("new").exists()

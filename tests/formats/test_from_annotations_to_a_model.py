"""A folder of an annotation tool to a model that is used, by the commands of the README; and back to the tool."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from formats.annotation_files import NAMES, labelme_shape, write_labelme_file

ROOT = Path(__file__).parents[2]
TINY = [
    "preprocessing.size=[32, 32]", "network={name: unet-small, width: 8, depth: 2}", "epochs=6",
    "steps_per_epoch=20", "batch_size=4", "augmentation={}", "learning_rate=0.01", "early_stopping=null",
]  # fmt: skip
"""Overrides that make the recipe train in seconds."""


def ocuseg(folder: Path, command: str, *more: str) -> str:
    words = [sys.executable, "-m", *shlex.split(command), *more]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def drawn_eye(seed: int) -> tuple[np.ndarray, list[tuple[str, list[list[int]]]]]:
    """An eye of 48 x 48 with iris and pupil, and their outlines as a person would draw them."""
    rng = np.random.default_rng(seed)
    x, y = (int(number) for number in rng.integers(18, 30, 2))
    shapes = []
    picture = np.full((48, 48, 3), 200, np.uint8)
    picture += rng.integers(0, 20, picture.shape, dtype=np.uint8)
    rows, columns = np.mgrid[:48, :48]
    for label, radius, colour in (("iris", 13, (110, 60, 20)), ("pupil", 6, (5, 5, 5))):
        angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        corners = np.rint(np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1)).astype(int)
        shapes.append((label, corners.tolist()))
        picture[(columns - x) ** 2 + (rows - y) ** 2 < radius**2] = colour
    return picture, shapes


def supervisely_folder(folder: Path) -> None:
    """Cataract-1K ships `meta.json` and a folder for each case, with `img` and `ann`."""
    rows = [{"title": name, "shape": "polygon", "color": "#9B3A20"} for name in NAMES]
    folder.mkdir()
    (folder / "meta.json").write_text(json.dumps({"classes": rows, "tags": []}))
    for case in range(4):
        for kind in ("img", "ann"):
            (folder / f"case_{5000 + case}" / kind).mkdir(parents=True)
        for frame in range(3):
            picture, shapes = drawn_eye(10 * case + frame)
            place = folder / f"case_{5000 + case}"
            Image.fromarray(picture).save(place / "img" / f"{frame}.png")
            objects: list[Any] = [
                {"classTitle": label, "geometryType": "polygon", "points": {"exterior": corners, "interior": []}}
                for label, corners in shapes
            ]
            content = {"size": {"height": 48, "width": 48}, "tags": [], "objects": objects}
            (place / "ann" / f"{frame}.png.json").write_text(json.dumps(content))


def labelme_folder(folder: Path) -> None:
    folder.mkdir()
    for number in range(12):
        picture, shapes = drawn_eye(number)
        Image.fromarray(picture).save(folder / f"{number}.png")
        drawn = [labelme_shape(label, corners) for label, corners in shapes]
        write_labelme_file(folder / f"{number}.json", f"{number}.png", (48, 48), drawn)


def readme_commands() -> list[str]:
    """The commands of the README's section on annotations, as they stand there."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text[text.index("## Annotations you have") :]
    block = re.search(r"^```sh\n(.*?)^```", section, re.M | re.S)
    assert block is not None
    return [line.partition("#")[0].strip() for line in block[1].splitlines() if line.startswith("ocuseg")]


@pytest.mark.slow
@pytest.mark.parametrize("make", [supervisely_folder, labelme_folder])
def test_three_commands_of_the_readme_lead_to_a_used_model(make: Any, tmp_path: Path) -> None:
    make(tmp_path / "exported")
    commands = readme_commands()[:3]
    assert [command.split()[1] for command in commands] == ["import", "train", "predict"]
    (tmp_path / "new_images").mkdir()
    picture, shapes = drawn_eye(99)
    Image.fromarray(picture).save(tmp_path / "new_images" / "eye.png")
    said = ocuseg(tmp_path, commands[0])
    assert "0 background, 1 iris, 2 pupil" in said
    ocuseg(tmp_path, commands[1], *(word for setting in TINY for word in ("--set", setting)))
    ocuseg(tmp_path, commands[2])
    mask = np.array(Image.open(tmp_path / "masks" / "eye.png"))
    (x, y) = np.mean(shapes[1][1], axis=0).astype(int)
    background = mask[(np.add.outer((np.arange(48) - y) ** 2, (np.arange(48) - x) ** 2)) > 18**2]
    assert (mask[y - 2 : y + 3, x - 2 : x + 3] > 0).all()  # something was learnt: the eye is no background,
    assert (background == 0).mean() > 0.9  # and the background is
    assert (tmp_path / "masks" / "labelme" / "eye.json").is_file()


def test_corrected_annotations_are_never_written_over(tmp_path: Path) -> None:
    from ocuseg.classes import default_classes
    from ocuseg.errors import OutputError
    from ocuseg.formats.outputs import masks_also_as

    mask = np.zeros((6, 7), np.uint8)
    mask[1:3, 2:5] = 1
    image = tmp_path / "eye.png"
    Image.new("RGB", (7, 6)).save(image)
    for kind, name in (("labelme", "labelme/eye.json"), ("coco", "coco.json"), ("cvat", "annotations.xml")):
        for _ in range(2):  # what was not touched is written again
            with masks_also_as([kind], tmp_path / "out", default_classes(2)) as put:
                put("eye", image, mask)
        path = tmp_path / "out" / name
        path.write_text(path.read_text() + " ")
        with (
            pytest.raises(OutputError, match="was changed since"),
            masks_also_as([kind], tmp_path / "out", default_classes(2)) as put,
        ):
            put("eye", image, mask)

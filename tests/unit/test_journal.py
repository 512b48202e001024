"""What was predicted is not predicted again, whatever ended the earlier run; what has changed is."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ocuseg.classes import default_classes
from ocuseg.errors import OutputError
from ocuseg.geometry import Preprocessing
from ocuseg.images import write_image
from ocuseg.metrics import AREA_COLUMNS
from ocuseg.prediction import Predictor
from ocuseg.prediction.journal import JOURNAL_FILE, Journal
from ocuseg.prediction.plans import Plan
from ocuseg.prediction.results import FileOutcome, predict_files
from ocuseg.prediction.writing import Written


class Red:
    """A network that calls red what is red; it counts the images that it saw."""

    name = "red fp32"

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.seen += len(images)
        return 8 * (images[:, :1] - np.float32(0.5))


def predictor_of(**settings) -> Predictor:
    preprocessing = Preprocessing(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), multiple=4)
    return Predictor(Red(), classes=default_classes(2), preprocessing=preprocessing, **settings)


def run(
    predictor: Predictor, images: list[Path], out: Path, model: str | None = "digest", **options
) -> list[FileOutcome]:
    return list(predict_files(predictor, images, out, model=model, **options))


def draw(path: Path, seed: int) -> Path:
    path.parent.mkdir(exist_ok=True)
    return write_image(path, np.random.default_rng(seed).integers(0, 256, (8, 12, 3), dtype=np.uint8))


@pytest.fixture
def images(tmp_path) -> list[Path]:
    return [draw(tmp_path / "in" / f"{index}.png", index) for index in range(5)]


@pytest.fixture
def out(tmp_path, images) -> Path:
    """A folder into which all images were predicted, with overlays."""
    assert not any(outcome.done_before for outcome in run(predictor_of(), images, tmp_path / "out", overlay=True))
    return tmp_path / "out"


def areas(out: Path) -> dict[str, str]:
    lines = (out / "areas.csv").read_text(encoding="utf-8").splitlines()[1:]
    return {line.split(",")[0]: line.split(",")[3] for line in lines}


def test_what_is_done_is_not_done_again(images, out):
    first = run(predictor_of(), images, out, overlay=True, again=True)
    table = (out / "areas.csv").read_bytes()
    predictor = predictor_of()
    second = run(predictor, images, out, overlay=True)
    assert predictor.network.seen == 0
    assert all(outcome.done_before for outcome in second)
    assert [(one.image, one.written, one.areas) for one in second] == [
        (one.image, one.written, one.areas) for one in first
    ]
    assert (out / "areas.csv").read_bytes() == table
    assert run(predictor, images, out, overlay=True, again=True)[0].done_before is False
    assert predictor.network.seen == 5


def test_without_the_digest_of_a_model_nothing_is_known_to_be_done(images, out):
    predictor = predictor_of()
    run(predictor, images, out, overlay=True, model=None)
    run(predictor, images, out, overlay=True, model=None)
    assert predictor.network.seen == 10


@pytest.mark.parametrize(
    ("change", "redone"),
    [
        ("nothing", []),
        ("model", "01234"),
        ("threshold", "01234"),
        ("flips", "01234"),
        ("runtime", "01234"),
        ("no overlays", "01234"),
        ("probabilities", "01234"),
        ("image", "2"),
        ("time of image", "2"),
        ("mask missing", "3"),
        ("overlay missing", "3"),
        ("overlay edited", "3"),
        ("one more image", "5"),
        ("areas.csv missing", []),
        ("record missing", "01234"),
    ],
)
def test_what_has_changed_is_done_again(images, out, change, redone):
    predictor, model, options = predictor_of(), "digest", {"overlay": True}
    if change == "model":
        model = "another"
    elif change == "threshold":
        predictor = predictor_of(threshold=0.25)
    elif change == "flips":
        predictor = predictor_of(flips=True)
    elif change == "runtime":
        predictor.network.name = "red bf16"
    elif change == "no overlays":
        options = {}
    elif change == "probabilities":
        options["probabilities"] = "png"
    elif change == "image":
        draw(images[2], 77)
    elif change == "time of image":
        os.utime(images[2], ns=(1, 1))
    elif change == "mask missing":
        (out / "3.png").unlink()
    elif change == "overlay missing":
        (out / "overlays" / "3.png").unlink()
    elif change == "overlay edited":
        (out / "overlays" / "3.png").write_bytes(b"something else")
    elif change == "one more image":
        images = [*images, draw(images[0].parent / "5.png", 5)]
    elif change == "areas.csv missing":
        (out / "areas.csv").unlink()
    elif change == "record missing":
        (out / JOURNAL_FILE).unlink()
    outcomes = run(predictor, images, out, model=model, **options)
    assert [one.image.stem for one in outcomes if not one.done_before] == list(redone)
    assert len(outcomes) == len(images)
    assert sorted(areas(out)) == [image.stem for image in images]
    assert {one.image.stem: str(one.areas[0]["pixels"]) for one in outcomes} == areas(out)
    assert all(one.done_before for one in run(predictor, images, out, model=model, **options))


def test_an_image_of_the_same_name_in_another_folder_is_another_image(images, out, tmp_path):
    other = draw(tmp_path / "other" / "0.png", 0)
    status = images[0].stat()
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert not run(predictor_of(), [other], out, overlay=True)[0].done_before


def test_an_image_keeps_its_name_when_one_of_the_same_stem_comes_or_goes(images, out, tmp_path):
    other = draw(tmp_path / "in" / "0.bmp", 6)
    predictor = predictor_of()
    outcomes = {one.image.name: one for one in run(predictor, [other, *images], out, overlay=True)}
    assert predictor.network.seen == 1  # the new one alone
    assert outcomes["0.png"].done_before
    assert outcomes["0.png"].written[0].name == "0.png"
    assert outcomes["0.bmp"].written[0].name == "0_bmp.png"
    assert sorted(areas(out)) == ["0", "0_bmp", "1", "2", "3", "4"]
    assert run(predictor_of(), [other], out, overlay=True)[0].done_before
    assert run(predictor_of(), [other], out, again=True)[0].written[0].name == "0_bmp.png"
    assert sorted(areas(out)) == ["0", "0_bmp", "1", "2", "3", "4"]


def test_a_line_that_was_cut_off_says_nothing(images, out):
    record = out / JOURNAL_FILE
    lines = record.read_bytes().splitlines(keepends=True)
    for cut in (1, len(lines[-1]) // 2, len(lines[-1]) - 1):
        record.write_bytes(b"".join(lines[:-1]) + lines[-1][:cut])
        predictor = predictor_of()
        run(predictor, images, out, overlay=True)
        assert predictor.network.seen == 1
        assert sorted(areas(out)) == ["0", "1", "2", "3", "4"]


def test_an_image_that_has_gone_bad_keeps_its_row_and_is_tried_again(images, out):
    before = areas(out)
    images[1].write_bytes(b"no image")
    for _ in range(2):
        outcomes = run(predictor_of(), images, out, overlay=True)
        assert [one.image.stem for one in outcomes if one.error] == ["1"]
        assert areas(out) == before


def test_rows_of_a_table_that_is_older_than_the_record_stay(images, out):
    (out / JOURNAL_FILE).unlink()
    before = areas(out)
    draw(images[0], 99)
    run(predictor_of(), images[:1], out, overlay=True)
    after = areas(out)
    assert after.pop("0") != before.pop("0")
    assert after == before


def test_the_record_does_not_grow_for_ever(images, out):
    for _ in range(30):
        run(predictor_of(), images, out, overlay=True, again=True)
    assert len((out / JOURNAL_FILE).read_bytes().splitlines()) < 125
    assert all(one.done_before for one in run(predictor_of(), images, out, overlay=True))


@pytest.mark.parametrize("content", [b"", b"something\n", b'{"name": "eye"}\n', b"[1]\n"])
def test_a_file_of_somebody_else_is_never_lost(tmp_path, images, content):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / JOURNAL_FILE).write_bytes(content)
    with pytest.raises(OutputError, match=r"predicted\.jsonl: was not written by 'ocuseg predict'"):
        run(predictor_of(), images, tmp_path / "new")
    assert (tmp_path / "new" / JOURNAL_FILE).read_bytes() == content
    assert not (tmp_path / "new" / "0.png").exists()


def test_the_memory_of_a_long_record_is_small(tmp_path):
    import tracemalloc

    lines = [json.dumps({"written_by": "ocuseg predict", "schema": 1})]
    row = {"image": "x", "class_id": 1, "class": "c", "pixels": 1, "share_of_image": 0.5, "parent": None}
    lines += [
        json.dumps({"name": f"{i:06}", "key": "k" * 64, "outputs": [[1, 2]], "areas": [row] * 5}) for i in range(3000)
    ]
    (tmp_path / JOURNAL_FILE).write_text("\n".join(lines) + "\n")
    tracemalloc.start()
    journal = Journal(tmp_path)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert not journal.is_done("000001", "k", [])
    assert held < 500 * 3000


KILLED = """
import os, sys
from pathlib import Path
from test_journal import predictor_of, run
count = 0
predictor = predictor_of()
network = predictor.network
def dying(images):
    global count
    count += len(images)
    if count > int(sys.argv[3]):
        os._exit(9)
    return network(images)
dying.name = network.name
predictor.network = dying
import ocuseg.prediction.results
ocuseg.prediction.results._SMALL_PX = 1
run(predictor, sorted(Path(sys.argv[1]).iterdir()), Path(sys.argv[2]))
"""


def test_a_run_that_was_killed_goes_on(tmp_path, images):
    """As by SIGKILL or a power cut: nothing is tidied up."""
    out = tmp_path / "killed"
    for index in range(5, 12):
        images.append(draw(tmp_path / "in" / f"{index}.png", index))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    for dies_after in (6, 5):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(tmp_path / "in"), str(out), str(dies_after)],
            env=environment, check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == 9
    masks = {path: path.stat().st_mtime_ns for path in out.glob("[!.]*.png")}
    (out / ".lately.png.x.tmp.png").touch()
    for path in out.glob(".[0-9]*"):
        os.utime(path, (1, 1))
    assert 4 <= len(masks) <= 11
    predictor = predictor_of()
    outcomes = run(predictor, images, out)
    before = [one for one in outcomes if one.done_before]
    assert len(before) >= 4
    assert predictor.network.seen == 12 - len(before)
    assert all(masks[one.written[0]] == one.written[0].stat().st_mtime_ns for one in before)
    clean = tmp_path / "clean"
    run(predictor_of(), images, clean)
    assert (out / "areas.csv").read_bytes() == (clean / "areas.csv").read_bytes()
    for path in clean.glob("[!.]*.png"):
        assert path.read_bytes() == (out / path.name).read_bytes()
    assert [path.name for path in out.glob(".*")] == [".lately.png.x.tmp.png"]


def test_two_runs_at_once_lose_no_row(tmp_path):
    def add(journal: Journal, names: range) -> None:
        for name in names:
            area = dict.fromkeys(AREA_COLUMNS, 0) | {"image": f"eye{name}", "pixels": name}
            plan = Plan(tmp_path / f"{name}.jpg", tmp_path / f"eye{name}.png", (), None)
            journal.add(plan, f"key of {name}", Written((area,), None))

    def rows() -> list[int]:
        with (tmp_path / "areas.csv").open(newline="") as file:
            return sorted(int(row["pixels"]) for row in csv.DictReader(file))

    with Journal(tmp_path) as first:
        add(first, range(3))
    with Journal(tmp_path) as long:
        with Journal(tmp_path) as short:
            for _ in range(80):
                add(short, range(10, 13))  # enough for the record to be made short when this one ends
        add(long, range(3, 6))
        assert long.written("eye1").areas[0]["pixels"] == 1
    assert rows() == [0, 1, 2, 3, 4, 5, 10, 11, 12]
    with Journal(tmp_path):  # which is alone
        pass
    assert len((tmp_path / JOURNAL_FILE).read_bytes().splitlines()) == 1 + 9
    assert rows() == [0, 1, 2, 3, 4, 5, 10, 11, 12]


def test_what_was_drawn_of_an_earlier_mask_does_not_outlive_it(tmp_path, images):
    out = tmp_path / "out"
    run(predictor_of(), images[:2], out, overlay=True, probabilities=True)
    drawn = [out / kind / f"{number}.png" for kind in ("overlays", "probabilities") for number in (0, 1)]
    assert all(path.exists() for path in drawn)
    drawn[1].write_bytes(b"drawn upon by hand")
    run(predictor_of(threshold=0.9), images[:2], out)
    assert [path.exists() for path in drawn] == [False, True, False, False]
    run(predictor_of(threshold=0.8), images[:2], out, probabilities=True)
    assert [path.exists() for path in drawn] == [False, True, True, True]

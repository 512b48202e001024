"""Where `predict` works: on this machine, or on Ray."""

from __future__ import annotations

import re
from pathlib import Path

import pytest


def test_a_uri_is_for_the_other_engine(world: Path, ocuseg) -> None:
    answer = ocuseg("predict bundle s3://eyes/2024 --out masks")
    assert answer.status == 2
    assert answer.err == (
        "ocuseg: s3://eyes/2024: is not on this machine; add --engine ray, or use predict_collection\n"
    )


def test_what_ray_does_not_write_is_said(world: Path, ocuseg) -> None:
    answer = ocuseg("predict bundle data --engine ray --overlay --out masks")
    assert answer.status == 2
    assert "--engine ray writes masks and areas alone; leave out what else there shall be" in answer.err


def test_ray_has_another_way_to_do_all_anew(world: Path, ocuseg) -> None:
    answer = ocuseg("predict bundle data --engine ray --again --out masks")
    assert answer.status == 2
    assert "--engine ray has no --again; give another --out to do all anew" in answer.err


@pytest.mark.parametrize(
    "option",
    [
        "--masks none",
        "--address 10.0.0.1:6379",
        "--chunk-images 5",
        "--worker-cpus 2",
        "--retry-failed",
        # As they would be anyway.
        "--masks table",
        "--chunk-images 100",
        "--worker-cpus 1",
    ],
)
def test_what_is_of_ray_alone_is_not_left_aside(world: Path, ocuseg, option: str) -> None:
    answer = ocuseg(f"predict bundle data --out masks {option}")
    assert answer.status == 2
    assert f"{option.split()[0]}: of --engine ray alone; add that, or leave it out" in answer.err
    assert not Path("masks").exists()


@pytest.mark.parametrize("missing", ["fsspec", "pyarrow", "ray"])
def test_without_its_packages_the_engine_names_the_install(
    world: Path, ocuseg, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ocuseg.scale.predicting.is_installed", lambda name: name != missing)
    answer = ocuseg("predict bundle nowhere --engine ray --out masks")
    assert answer.status == 2
    assert re.fullmatch(r"ocuseg: \w+ is not installed; run: pip install 'ocuseg\[ray\]'\n", answer.err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("nowhere --out masks", "nowhere: does not exist; give images, folders or lists of images"),
        ("data --out mine", "holds files of something else"),
        ("data --out masks --chunk-images 0", "a chunk has at least 1 image"),
        ("data --out masks --threshold 2", "is no probability"),
    ],
)
def test_wrong_use_is_said_before_ray_is_started(world: Path, ocuseg, arguments: str, message: str) -> None:
    for package in ("fsspec", "pyarrow", "ray"):
        pytest.importorskip(package, reason=f"no {package}: pip install 'ocuseg[ray]'")
    answer = ocuseg(f"predict bundle --engine ray {arguments}")
    assert answer.status in (1, 2)
    assert len(answer.err.splitlines()) == 1
    assert message in answer.err
    assert "Traceback" not in answer.err

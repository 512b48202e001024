"""The harness that times this project and its peers: turns, failures, ratios, tables; and that all do the same work."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ocuseg.classes import default_classes

ROOT = Path(__file__).parents[2]
PEERS = ROOT / "benchmarks" / "peers"
CONTENDERS = PEERS / "contenders"


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PEERS))


def _script(folder: Path, name: str, body: str) -> tuple[str, ...]:
    """Return the command of a contender whose `body` runs with a `line` and its `log` of what happened when."""
    head = f"""
        import sys, time
        sys.path.insert(0, {str(CONTENDERS)!r})
        from line import Line
        line = Line()
        def log(what):
            with open({str(folder / "log")!r}, "a") as file:
                print({name!r}, what, file=file)
    """
    path = folder / f"{name}.py"
    path.write_text(textwrap.dedent(head) + textwrap.dedent(body), encoding="utf-8")
    return (sys.executable, str(path), "job", "{}")


WORKER = """
    print("what libraries print is no answer")
    for warm in line.turns(parameters=3):
        log("begins"); time.sleep(0.05); log("ends")
        line.answer({"step_s": 9.0 if warm else 2.0})
"""


def _take(contenders: list[tuple[str, tuple[str, ...]]], **options: Any) -> tuple[dict[str, Any], list[str]]:
    from turns import Contender, take_turns

    said: list[str] = []
    defaults = {"steady": True, "rounds": 2, "warm_up": True, "turn_limit_s": 60.0, "row_limit_s": 60.0}
    outcomes = take_turns(
        [Contender(name, command) for name, command in contenders],
        environment=os.environ, say=said.append, **(defaults | options),
    )  # fmt: skip
    return outcomes, said


def test_workers_take_turns_one_at_a_time_and_the_warm_up_does_not_count(tmp_path: Path) -> None:
    outcomes, _ = _take([(name, _script(tmp_path, name, WORKER)) for name in "AB"])
    expected = [f"{name} {what}" for name in "ABABAB" for what in ("begins", "ends")]
    assert (tmp_path / "log").read_text().split("\n")[:-1] == expected
    assert outcomes["A"].turns == outcomes["B"].turns == [{"step_s": 2.0}, {"step_s": 2.0}]
    assert outcomes["A"].facts == {"parameters": 3}


def test_a_contender_that_fails_says_why_and_the_others_go_on(tmp_path: Path) -> None:
    failing = """
        for number, warm in enumerate(line.turns()):
            if number == 2:
                raise ValueError("no more of this")
            line.answer({"step_s": 1.0})
    """
    scripts = [("bad", _script(tmp_path, "bad", failing)), ("good", _script(tmp_path, "good", WORKER))]
    outcomes, _ = _take([*scripts, ("absent", (sys.executable, str(tmp_path / "absent.py")))])
    assert outcomes["bad"].failure == "ValueError: no more of this"
    assert outcomes["bad"].turns == [{"step_s": 1.0}]
    assert "absent.py" in outcomes["absent"].failure
    assert len(outcomes["good"].turns) == 2


@pytest.mark.parametrize("steady", [True, False])
def test_a_turn_that_takes_too_long_is_ended(tmp_path: Path, steady: bool) -> None:
    slow = _script(tmp_path, "slow", "time.sleep(30)\n")
    outcomes, _ = _take([("slow", slow)], steady=steady, turn_limit_s=0.5, warm_up=False)
    assert outcomes["slow"].failure == "took longer than 0.5 s"
    assert outcomes["slow"].turns == []


def test_no_round_begins_after_the_time_of_the_row_is_over(tmp_path: Path) -> None:
    outcomes, said = _take([("A", _script(tmp_path, "A", WORKER))], rounds=50, row_limit_s=0.0)
    assert len(outcomes["A"].turns) == 1
    assert "no round 2: the row has taken its 0 s" in said


def test_a_contender_that_cannot_run_here_is_skipped() -> None:
    from turns import Contender, take_turns

    outcomes = take_turns(
        [Contender("smp", skip="its environment could not be made")],
        steady=True, rounds=1, warm_up=True, turn_limit_s=1, row_limit_s=1, environment={}, say=lambda _: None,
    )  # fmt: skip
    assert outcomes["smp"].failure == "its environment could not be made"


def test_a_process_is_timed_from_outside_with_its_peak_memory(tmp_path: Path) -> None:
    body = """
        kept = bytearray(200_000_000)
        kept[::1000] = b"x" * len(kept[::1000])
        time.sleep(0.3)
        line.answer({"own_s": 1.0, "out": sys.argv[3]})
    """
    # In a process of its own: Linux counts, in the peak of a new process, what the one that starts it holds.
    harness = """
        import json, os, sys
        from turns import Contender, take_turns
        limits = {"turn_limit_s": 60.0, "row_limit_s": 60.0}
        outcomes = take_turns(
            [Contender("A", (*sys.argv[1:], "{out}"))],
            steady=False, rounds=2, warm_up=False, environment=os.environ, say=lambda _: None, **limits,
        )
        print(json.dumps(outcomes["A"].turns))
    """
    command = [sys.executable, "-c", textwrap.dedent(harness), *_script(tmp_path, "A", body)]
    environment = os.environ | {"PYTHONPATH": str(PEERS)}
    first, second = json.loads(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)
    assert first["wall_s"] >= 0.3
    assert first["own_s"] == 1.0
    assert first["out"] != second["out"], "each turn has a fresh place to write to"
    if hasattr(os, "wait4"):
        assert 200 < first["peak_mb"] < 230


def _row(theirs: list[float], **changes: Any) -> dict[str, Any]:
    peer = {"turns": [{"step_s": value} for value in theirs], "facts": {}, "failure": None}
    ours = {"turns": [{"step_s": value} for value in (1.0, 2.0, 4.0)], "facts": {}, "failure": None}
    return {
        "contenders": {"ocuseg": ours, "loop": peer | changes.pop("peer", {})},
        "comparisons": [{"work": "train", "measure": "step_s", "ours": "ocuseg", "theirs": "loop", "bar": 2.5}],
        "note": "", "date": "2026-01-02", "sizes": {}, "rounds": 3, "tiny": False,
        "machine": {"processor": "A CPU", "cores": 2, "features": ["AVX2"], "system": "Linux x86_64"},
        "versions": {"ours": {"torch": "2.13.0"}, "peers'": {}}, **changes,
    }  # fmt: skip


def test_a_ratio_is_taken_within_each_round() -> None:
    from report import page, ratios

    row = _row([3.0, 4.0, 16.0])  # ratios 3, 2, 4; that of the medians would be 2
    contenders = row["contenders"]
    assert ratios(contenders["ocuseg"]["turns"], contenders["loop"]["turns"], "step_s") == [3.0, 2.0, 4.0]
    text = page({"train": row})
    assert "| train | ocuseg | 2.00 (1.00 to 4.00) s | loop | 4.00 (3.00 to 16.0) s |" in text
    assert "| **3.00 (2.00 to 4.00)** | 2.5 | reached |" in text
    assert "No peer was faster." in text
    assert "2026-01-02, A CPU, 2 cores (AVX2), Linux x86_64; ours: torch 2.13.0." in text


def test_a_peer_that_is_faster_is_said_and_so_is_a_bar_that_is_missed() -> None:
    from report import page

    text = page({"train": _row([0.5, 1.0, 2.0])})
    assert "| **0.50 (0.50 to 0.50)** | 2.5 | **missed** |" in text
    assert "faster or needs less:\n\n- train: loop 1.00 (0.50 to 2.00) s, ocuseg 2.00 (1.00 to 4.00) s" in text


def test_a_failure_has_its_line_in_the_table() -> None:
    from report import page

    text = page({"train": _row([], peer={"failure": "needs a | b"})})
    assert "| train | ocuseg | 2.00 (1.00 to 4.00) s | loop | needs a / b |  | 2.5 |  |" in text


def test_figures_of_tiny_sizes_are_called_so() -> None:
    from report import page

    assert "mean nothing" in page({"train": _row([1.0], tiny=True)})
    assert "mean nothing" not in page({"train": _row([1.0])})


@pytest.mark.parametrize(("value", "agrees"), [(0.8015, True), (0.81, False), (float("nan"), False)])
def test_contenders_that_do_not_agree_are_named(value: float, agrees: bool) -> None:
    from report import disagreements

    contenders = {"ocuseg": {"turns": [{"same_dice": 0.8, "step_s": 1.0}]}, "loop": {"turns": [{"same_dice": value}]}}
    assert (list(disagreements(contenders)) == []) is agrees


def test_the_table_goes_between_the_markers(tmp_path: Path) -> None:
    from report import BEGIN, END, write_between

    path = tmp_path / "page.md"
    path.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    for _ in range(2):
        write_between(path, "new\n")
        assert path.read_text(encoding="utf-8") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    path.write_text(f"before\n{END}\n{BEGIN}\n", encoding="utf-8")
    with pytest.raises(ValueError, match="lacks the lines"):
        write_between(path, "new\n")


def test_the_peers_plain_unet_is_the_same_network() -> None:
    import torch
    from contenders.plain import UNet
    from material import plain_state

    from ocuseg.networks import build_network, resolve_network

    settings = resolve_network({"name": "unet", "width": 4})
    ours = build_network(settings).train()
    images = torch.rand(2, 3, 32, 48)
    ours(images)  # moves the running statistics, which are to be carried over as well
    plain = UNet(4)
    plain.load_state_dict(plain_state(ours.state_dict(), settings))
    with torch.inference_mode():
        assert torch.equal(plain.eval()(images), ours.eval()(images))


def test_monais_unet_has_as_many_parameters() -> None:
    from contenders.plain import UNet, count
    from monai.networks.nets import UNet as MonaiUNet
    from sizes import FULL

    strides = [2] * (len(FULL.channels) - 1)
    monai = count(MonaiUNet(2, 3, 1, channels=FULL.channels, strides=strides, num_res_units=2))
    assert abs(monai / count(UNet(FULL.width)) - 1) < 0.01


def test_every_row_names_what_there_is() -> None:
    from material import KINDS
    from row import Place
    from rows import ROWS
    from sizes import FULL

    place = Place(Path("material"), Path("peers-python"), 2, FULL)
    for build in ROWS.values():
        row = build(place)
        names = [contender.name for contender in row.contenders]
        assert len(set(names)) == len(names)
        assert set(row.material) <= set(KINDS)
        assert {side for each in row.comparisons for side in (each.ours, each.theirs)} == set(names)
        for contender in row.contenders:
            if contender.answers:
                python, script, _, settings = contender.command
                assert Path(script).is_file()
                assert json.loads(settings)
                assert row.peers or python != "peers-python"
    without = Place(Path("material"), "no registry", 2, FULL)
    rows = [build(without) for build in ROWS.values()]
    skipped = [each.skip for each in itertools.chain(*(row.contenders for row in rows)) if each.skip is not None]
    assert skipped
    assert set(skipped) == {"no registry"}


def test_the_page_explains_every_row() -> None:
    from report import BEGIN, END
    from rows import ROWS

    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert [name for name in ROWS if f"\n| `{name}` |" not in text] == []
    assert text.index(BEGIN) < text.index(END)


def test_the_peers_environment_is_made_once_and_in_no_folder_of_somebody_else(tmp_path: Path) -> None:
    from environments import make_peers, torch_version

    (tmp_path / "letter.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(FileExistsError, match="holds something else"):
        make_peers(tmp_path, [], tmp_path / "log")
    assert (tmp_path / "letter.txt").exists()
    finished = tmp_path / "finished"
    finished.mkdir()
    (finished / "peers.txt").write_text(torch_version(), encoding="utf-8")
    assert make_peers(finished, [], tmp_path / "log").parent.parent == finished
    assert [path.name for path in finished.iterdir()] == ["peers.txt"]


def test_the_load_compares_masks_by_their_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("httpx", reason="httpx is not installed")
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import service_load

    from ocuseg.images import mask_rows, write_mask

    classes, mask = default_classes(2), np.eye(20, 30, dtype=np.uint8)
    whole = write_mask(tmp_path / "whole.png", mask, classes).read_bytes()
    with mask_rows(tmp_path / "rows.png", mask.shape, classes) as put:
        put(mask)
    by_rows = (tmp_path / "rows.png").read_bytes()
    assert by_rows != whole  # as `predict` writes a large one
    assert service_load.pixels(by_rows) == service_load.pixels(whole)
    other = write_mask(tmp_path / "other.png", mask[:, ::-1], classes).read_bytes()
    assert service_load.pixels(other) != service_load.pixels(whole)

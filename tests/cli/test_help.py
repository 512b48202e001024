"""What the command line says of itself, how fast it says it, and what it does not import to say it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

import ocuseg as package
from ocuseg.networks import build_network
from ocuseg.training.recipe import Recipe, load_recipe, recipe_names

COMMANDS = (
    "check", "train", "evaluate", "predict", "serve", "export", "compare", "import", "data", "models", "recipes",
    "cache", "doctor", "demo",
)  # fmt: skip
OPTIONS = {
    "check": ("--recipe", "--set", "--json"),
    "train": ("--recipe", "--out", "--set", "--resume", "--from", "--device", "--cache"),
    "cache": ("--clear",),
    "evaluate": (
        "--split",
        "--out",
        "--recipe",
        "--set",
        "--region",
        "--runtime",
        "--precision",
        "--flips",
        "--no-flips",
    ),
    "predict": (
        "--model", "--out", "--probabilities", "--npz", "--overlay", "--threshold", "--runtime", "--precision",
        "--flips", "--again", "--engine", "--address", "--masks", "--chunk-images", "--worker-cpus", "--retry-failed",
    ),
    "serve": (
        "--host", "--port", "--token-file", "--image-mb", "--image-megapixels", "--batch-images", "--upload-seconds",
        "--compute-seconds", "--workers", "--waiting", "--runtime", "--precision", "--flips",
    ),
    "import": ("--out", "--format", "--classes", "--order", "--images", "--attribute", "--link", "--allow-loss"),
    "data": ("list", "show", "get"),
    "export": ("--out", "--data", "--int8"),
    "demo": ("--out",),
}  # fmt: skip
HELP_SECONDS = 0.3


def test_help_names_every_command(ocuseg) -> None:
    answer = ocuseg("--help")
    assert (answer.status, answer.err) == (0, "")
    listed = re.findall(r"^\W*([a-z]+) +[A-Z]", answer.out, flags=re.MULTILINE)
    assert tuple(listed) == COMMANDS  # and in this order
    assert "not a medical device" in " ".join(answer.out.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, ocuseg) -> None:
    answer = ocuseg(f"{command} --help")
    assert (answer.status, answer.err) == (0, "")
    assert f"Usage: ocuseg {command}" in answer.out
    assert [option for option in OPTIONS.get(command, ()) if option not in answer.out] == []


def test_without_a_command_the_help_is_shown_and_the_use_was_wrong(ocuseg) -> None:
    answer = ocuseg("")
    assert (answer.status, answer.err) == (2, "")
    assert answer.out.strip() == ocuseg("--help").out.strip()


def test_version(ocuseg) -> None:
    assert ocuseg("--version").out == f"ocuseg {version('ocuseg')}\n"
    assert package.__version__ == version("ocuseg")


def test_python_m_is_the_command() -> None:
    answer = subprocess.run([sys.executable, "-m", "ocuseg", "--version"], capture_output=True, text=True, check=True)
    assert answer.stdout == f"ocuseg {version('ocuseg')}\n"


@pytest.mark.skipif(sys.platform == "win32", reason="measures the processor time of children")
def test_help_answers_at_once() -> None:
    import resource

    def cpu_seconds() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    def seconds() -> float:
        before = cpu_seconds()
        subprocess.run([sys.executable, "-m", "ocuseg", "--help"], capture_output=True, check=True)
        return cpu_seconds() - before

    # What runs beside this test slows it down; of many tries one is undisturbed.
    assert any(seconds() < HELP_SECONDS for _ in range(20))


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import ocuseg", ("torch", "matplotlib", "numpy", "PIL", "onnxruntime", "pydantic", "yaml", "typer", "rich")),
        ("import ocuseg.cli", ("torch", "matplotlib", "numpy", "PIL", "onnxruntime", "pydantic", "yaml")),
        ("import ocuseg; ocuseg.check; ocuseg.evaluate; ocuseg.predict; ocuseg.load", ("torch", "matplotlib")),
        ("import ocuseg; ocuseg.recipes()", ("torch", "matplotlib", "onnxruntime")),
    ],
)
def test_what_is_not_imported(statement: str, absent: tuple[str, ...]) -> None:
    code = f"import sys; {statement}; print([name for name in {absent!r} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"


def test_recipes_are_listed_with_one_line_each(ocuseg) -> None:
    answer = ocuseg("recipes")
    assert answer.status == 0
    assert [line.split()[0] for line in answer.out.splitlines()] == list(recipe_names())
    assert all(len(line.split()) > 4 for line in answer.out.splitlines())


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_parses_and_builds_its_network(name: str) -> None:
    import torch

    recipe = load_recipe(name)
    assert recipe.name == name
    assert Recipe.model_validate(yaml.safe_load(yaml.safe_dump(recipe.to_plain()))) == recipe
    for classes, channels in ((2, 1), (4, 4)):
        network = build_network({"in_channels": 3, "out_channels": channels, **recipe.network}).eval()
        with torch.inference_mode():
            logits = network(torch.zeros(1, 3, 40, 56))
        assert tuple(logits.shape) == (1, channels, 40, 56), classes


def test_models_and_doctor_answer(ocuseg) -> None:
    assert ocuseg("models").status == 0
    doctor = ocuseg("doctor")
    assert doctor.status == 0
    said = {line.split()[0]: line.split(maxsplit=1)[1] for line in doctor.out.splitlines()}
    assert {"python", "onnxruntime", "processor_features", "usable_cores", "gpu", "faster_with"} <= set(said)
    assert said["prediction"].startswith("onnxruntime fp32: ")
    assert re.match(r"(fp32|bf16) on (cpu|cuda): ", said["training"])


@pytest.mark.parametrize("command", ["predict bundle data/test/images --out new", "evaluate bundle data --out new"])
def test_what_computes_is_said_first(command: str, ocuseg, world) -> None:
    first = ocuseg(command).err.splitlines()[0]
    assert re.fullmatch(r"runtime onnxruntime fp32, threads \d+: .+", first)
    refused = ocuseg(f"{command} --precision bf16")
    assert (refused.status, "nothing that is installed computes in bf16 here" in refused.err) == (2, True)


def test_compare_prints_a_table(ocuseg, world) -> None:
    answer = ocuseg("compare first second")
    assert (answer.status, answer.err) == (0, "")
    assert re.search(r"vessel +Dice +0\.\d{4} +0\.\d{4} +[+-]0\.\d{4}", answer.out)
    written = answer.out.splitlines()[-1].removeprefix("wrote ").split(", ")
    assert [(world / name).is_file() for name in written] == [True, True, True]


def test_evaluate_says_what_it_wrote_where(ocuseg, world) -> None:
    answer = ocuseg("evaluate bundle data")
    assert answer.status == 0
    written = answer.out.splitlines()[-1].removeprefix("wrote ").split(", ")
    assert [(world / name).exists() for name in written] == [True, True, True]
    assert written[0].replace("\\", "/") == "evaluation/dark-lines-test/metrics.json"
    assert ocuseg("evaluate bundle data --split validation").out.splitlines()[-1].count("dark-lines-val/") == 3


def test_what_made_the_scores_is_written_and_said(ocuseg, world) -> None:
    import json

    answer = ocuseg("evaluate bundle data --out new --flips")
    metrics = json.loads((world / "new/metrics.json").read_text(encoding="utf-8"))
    assert {"runtime": "onnxruntime fp32", "flips": True}.items() <= metrics.items()
    assert {"epoch", "trained_on_data_hash"} < set(metrics)
    said = f"model dark-lines {metrics['model_hash'][:12]}; data {metrics['data_hash'][:12]}; onnxruntime fp32, average"
    assert said in answer.out
    assert "onnxruntime fp32, average of four flips" in (world / "new/report.html").read_text(encoding="utf-8")


def test_the_masks_are_read_as_in_training(world) -> None:
    import dataclasses
    from pathlib import Path

    import numpy as np
    from PIL import Image

    from ocuseg.bundle import load_bundle

    for path in Path("data/test/masks").iterdir():
        with Image.open(path) as mask:
            Image.fromarray(np.ones_like(np.array(mask))).save(path)
    bundle = load_bundle("bundle")
    learnt = {"kind": "values", "table": [[1, 0], [2, 1]], "threshold": None}
    bundle = dataclasses.replace(bundle, info=bundle.info.model_copy(update={"encoding": learnt}))

    def reference(overrides: tuple[str, ...] = ()) -> list[int]:
        shown = package.evaluate(bundle, "data", out="new", overrides=overrides)
        return [int(pixels) for pixels in shown.areas_reference.sum(axis=0)]

    assert reference()[1] == 0
    assert reference(("mask_threshold=1",))[0] == 0
    odd = dataclasses.replace(bundle, info=bundle.info.model_copy(update={"encoding": {"kind": "values"}}))
    with pytest.raises(package.errors.ModelError, match="encoding: is no rule for masks; export the bundle again"):
        package.evaluate(odd, "data", out="new")


def test_the_name_of_a_bundle_never_leads_out_of_the_folder(world) -> None:
    import dataclasses

    from ocuseg.bundle import load_bundle
    from ocuseg.commands import evaluation_folder

    bundle = load_bundle("bundle")
    bundle = dataclasses.replace(bundle, info=bundle.info.model_copy(update={"name": "../../up"}))
    assert evaluation_folder(bundle, "test").as_posix() == "evaluation/_.._up-test"


def test_a_shipped_model_leaves_a_run_of_its_name_alone(world: Path) -> None:
    from ocuseg.commands import evaluation_folder

    shutil.copytree("run", "vessels")
    assert evaluation_folder("vessels", "test").as_posix() == "evaluation/vessels-test"
    assert evaluation_folder("./vessels", "test").as_posix() == "vessels/evaluation/test"
    assert evaluation_folder(Path("vessels"), "test").as_posix() == "vessels/evaluation/test"
    assert evaluation_folder("run", "test").as_posix() == "run/evaluation/test"


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break in another way there")
def test_a_reader_that_goes_away_is_no_error_and_kills_no_server() -> None:
    # A default SIGPIPE would end `ocuseg serve` with the first client that hangs up.
    code = (
        "import signal, sys; from ocuseg import cli, terminal; before = signal.getsignal(signal.SIGPIPE)\n"
        "try: sys.exit(terminal.run(cli.app, ['recipes']))\n"
        "finally: sys.stderr.write(str(signal.getsignal(signal.SIGPIPE) == before))"
    )
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "True")


def test_the_model_may_stand_behind_the_images(ocuseg, world) -> None:
    answer = ocuseg("predict data/test/images/img_0007.png data/val --model bundle")
    assert (answer.status, answer.out) == (2, "")
    answer = ocuseg("predict data/test/images/img_0007.png --model bundle")
    assert (answer.status, answer.out) == (0, "wrote 1 mask, areas.csv to predicted\n")
    assert (world / "predicted/img_0007.png").is_file()


def test_masks_among_the_images_are_not_taken_for_images(ocuseg, world) -> None:
    from PIL import Image

    (world / "mixed").mkdir()
    Image.open(world / "data/test/images/img_0007.png").save(world / "mixed/eye.jpg")
    assert ocuseg("predict bundle mixed --out mixed").out == "wrote 1 mask, areas.csv to mixed\n"
    assert ocuseg("predict bundle mixed --out mixed").out == "wrote 0 masks to mixed, 1 already done\n"
    (world / "mixed/eye.jpg").unlink()
    answer = ocuseg("predict bundle mixed --out mixed")
    assert (answer.status, answer.out) == (2, "")
    assert "only masks that 'ocuseg predict' wrote there" in answer.err


def test_probabilities_as_numpy_arrays(ocuseg, world) -> None:
    import numpy as np

    assert ocuseg("predict bundle data/test/images --out new --npz").status == 0
    with np.load("new/probabilities/img_0007.npz") as stored:
        assert stored["probabilities"].shape == (1, 64, 64)
    assert not list((world / "new/probabilities").glob("*.png"))


def test_check_writes_its_findings_as_json(ocuseg, world) -> None:
    import json

    answer = ocuseg("check data --json findings.json")
    assert answer.status == 0
    found = json.loads((world / "findings.json").read_text())
    assert found["summary"] == answer.out.splitlines()[-2]
    assert found["images"] == 9
    assert len(found["data_hash"]) == 64
    assert {"level", "code", "path", "expected", "found", "remedy"} == set(found["findings"][0])


def test_a_stop_while_the_program_itself_is_still_read_is_one_line() -> None:
    stop_at_import = """
import sys

class Stopping:
    def find_spec(self, name, path=None, target=None):
        if name == "ocuseg.cli":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Stopping())
from ocuseg.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", stop_at_import], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "ocuseg: interrupted\n")

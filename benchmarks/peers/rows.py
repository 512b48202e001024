"""What is measured: each row names its contenders, what of them is measured, and who is compared with whom."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from row import Comparison, Place, Row
from turns import Contender


def train_unet(place: Place) -> Row:
    common = place.training
    work = f"train U-Net {common['size']}, a step of {common['batch']}"
    return Row(
        "training steps of the same U-Net, files in",
        steady=True, material=("set",), peers=True,
        contenders=(
            place.ours("ocuseg", "steps"),
            place.script("notebook loop, fp32", "notebook.py", "steps", **common),
            place.script("smp's loop, fp32", "smp_loop.py", "steps", peers=True, encoder=None, **common),
            place.script("MONAI's loop, fp32", "monai_loop.py", "steps", channels=None, **common),
            place.ours("ocuseg, precision: fp32", "steps", precision="fp32"),
        ),
        comparisons=(
            Comparison(work, "step_s", "ocuseg", "notebook loop, fp32"),
            Comparison(work, "step_s", "ocuseg", "smp's loop, fp32"),
            Comparison(work, "step_s", "ocuseg", "MONAI's loop, fp32"),
            Comparison(f"{work}, bf16 off", "step_s", "ocuseg, precision: fp32", "notebook loop, fp32", 1.5),
        ),
    )  # fmt: skip


def train_whole(place: Place) -> Row:
    steps = place.sizes.whole_steps
    common = place.training | {"steps": steps, "started": "{started}", "weights": "{out}"}
    seen = steps * common["batch"]
    epoch = f"train U-Net {common['size']}, an epoch of {seen} images with its validation"
    weights = f"train U-Net {common['size']}, file to weights, {seen} images seen"
    return Row(
        "from a folder to saved weights, start-up and all",
        steady=False, warm_up=False, rounds=2, material=("set",), peers=True,
        contenders=(
            place.ours("ocuseg", "whole", steps=steps),
            place.script("notebook loop, fp32", "notebook.py", "whole", **common),
            place.script("smp's loop, fp32", "smp_loop.py", "whole", peers=True, encoder=None, **common),
        ),
        comparisons=(
            Comparison(weights, "weights_s", "ocuseg", "notebook loop, fp32", 5.0),
            Comparison(weights, "weights_s", "ocuseg", "smp's loop, fp32", 2.0),
            Comparison(epoch, "epoch_s", "ocuseg", "notebook loop, fp32"),
            Comparison(epoch, "epoch_s", "ocuseg", "smp's loop, fp32"),
        ),
        note="the check of the data and the fresh statistics of the batch norms (64 images in each validation) are in "
        "the time of ocuseg, the bundle that it writes after the weights is not; `bundle_s` in the JSON has it.",
    )  # fmt: skip


def train_own(place: Place) -> Row:
    common = place.training
    work = f"train a U-Net {common['size']}, each its own, a step of {common['batch']}"
    ours, smp, monai = "ocuseg, unet", "smp Unet resnet34, fp32", "MONAI UNet, fp32"
    return Row(
        "training steps of each project's own U-Net",
        steady=True, material=("set",), peers=True,
        contenders=(
            place.ours(ours, "steps"),
            place.script(smp, "smp_loop.py", "steps", peers=True, encoder="resnet34", **common),
            place.script(monai, "monai_loop.py", "steps", channels=place.sizes.channels, **common),
        ),
        comparisons=(Comparison(work, "step_s", ours, smp), Comparison(work, "step_s", ours, monai)),
        note="the first convolution of smp's and MONAI's networks halves the image, so that they compute less for it "
        "than a U-Net of double convolutions, whatever their parameters.",
    )  # fmt: skip


def train_hrnet(place: Place) -> Row:
    batch = place.sizes.hrnet_batch
    common = place.training | {"batch": batch}
    work = f"train HRNet-W18 {common['size']}, a step of {batch}"
    smp = "smp tu-hrnet_w18, fp32"
    return Row(
        "training steps of HRNet-W18",
        steady=True, material=("set",), peers=True,
        contenders=(
            place.ours("ocuseg", "steps", "{name: hrnet, variant: w18}", batch=batch),
            place.script(smp, "smp_loop.py", "steps", peers=True, encoder="tu-hrnet_w18", **common),
        ),
        comparisons=(Comparison(work, "step_s", "ocuseg", smp, 2.5),),
        note="smp puts a U-Net's decoder on the encoder, ocuseg HRNet's own head.",
    )  # fmt: skip


def predict_folder(place: Place) -> Row:
    images, bundle = (place.material / "folder").as_posix(), (place.material / "bundle" / "bundle").as_posix()
    weights = (place.material / "bundle" / "plain.pt").as_posix()

    def ours(runtime: str) -> Contender:
        name = f"ocuseg, {runtime}"
        return place.script(name, "predict_ocuseg.py", "folder", images=images, bundle=bundle, runtime=runtime)

    def plain(name: str, *, bf16: bool) -> Contender:
        return place.script(name, "predict_plain.py", "folder", images=images, weights=weights, bf16=bf16)

    work = f"predict a folder of {place.sizes.predict}, file to file"
    fp32, bf16 = "PyTorch, fp32", "PyTorch, bf16, channels-last"
    return Row(
        "one bundle's network, PNG in, PNG out",
        steady=True, material=("set", "bundle", "folder"),
        contenders=(
            ours("auto"), plain(fp32, bf16=False), ours("onnxruntime"), plain(bf16, bf16=True), ours("openvino"),
            ours("pytorch"),
        ),
        comparisons=(
            Comparison(work, "image_s", "ocuseg, auto", fp32, 6.0),
            Comparison(work, "image_s", "ocuseg, auto", bf16, 1.8),
            *(
                Comparison(work, "image_s", f"ocuseg, {runtime}", peer)
                for runtime in ("onnxruntime", "openvino", "pytorch") for peer in (fp32, bf16)
            ),
        ),
        note="`ocuseg.predict` opens the bundle anew in each turn and writes the areas too; PyTorch has its network "
        "in memory from the start.",
    )  # fmt: skip


def cold_start(place: Place) -> Row:
    image = (place.material / "folder" / "0000.png").as_posix()
    bundle = (place.material / "bundle" / "bundle").as_posix()
    smp, monai = ((place.material / f"{name}.pt").as_posix() for name in ("smp", "monai"))
    channels = place.sizes.channels
    work = "start to the mask of one image, file to file"
    ours = "ocuseg predict"
    one = {"image": image, "out": "{out}.png"}
    prepare = [place.command("cold_monai.py", "weights", weights=monai, channels=channels)]
    if isinstance(place.peers, Path):
        prepare.append(place.command("cold_smp.py", "weights", peers=True, weights=smp))
    return Row(
        "a new process for each mask",
        steady=False, rounds=5, material=("set", "bundle", "folder"), peers=True, prepare=tuple(prepare),
        contenders=(
            place.ocuseg(ours, "predict", bundle, image, "--out", "{out}"),
            place.script("smp script", "cold_smp.py", "one", peers=True, weights=smp, **one),
            place.script("MONAI script", "cold_monai.py", "one", weights=monai, channels=channels, **one),
            place.script("PyTorch script", "predict_plain.py", "one",
                         weights=(place.material / "bundle" / "plain.pt").as_posix(), **one),
        ),
        comparisons=(
            Comparison(work, "wall_s", ours, "smp script", 4.0),
            Comparison(work, "wall_s", ours, "MONAI script", 4.0),
            Comparison(work, "wall_s", ours, "PyTorch script"),
        ),
    )  # fmt: skip


def evaluate(place: Place) -> Row:
    height, width = place.sizes.large
    work = f"evaluate {place.sizes.evaluate} masks of {width} x {height}, all scores but distances"
    common = {"folder": (place.material / "large").as_posix(), "count": place.sizes.evaluate, "threshold": 0.5}
    return Row(
        "scores of stored probabilities, per image and pooled",
        steady=True, material=("large",),
        contenders=(
            place.script("ocuseg", "evaluate_ocuseg.py", "evaluate", **common),
            place.script("scikit-learn + MONAI", "evaluate_sklearn.py", "evaluate", **common),
        ),
        comparisons=(Comparison(work, "image_s", "ocuseg", "scikit-learn + MONAI", 10.0),),
        note="ocuseg also decodes the photograph, sweeps 99 thresholds and draws the intervals. scikit-learn sorts all "
        "pixels for the pooled scores, so that its time for an image grows with their number.",
    )  # fmt: skip


def peak_memory(place: Place) -> Row:
    bundle, image = (place.material / "bundle" / "bundle").as_posix(), (place.material / "large" / "00_image.jpg")
    height, width = place.sizes.large
    work = f"predict one image of {width} x {height}, peak memory"
    ours, theirs = "ocuseg predict", "PyTorch, whole image, fp32"
    return Row(
        "one large photograph, a new process each",
        steady=False, warm_up=False, rounds=2, material=("set", "bundle", "large"),
        contenders=(
            place.ocuseg(ours, "predict", bundle, image.as_posix(), "--out", "{out}"),
            place.script(theirs, "predict_plain.py", "one", image=image.as_posix(), out="{out}.png",
                         weights=(place.material / "bundle" / "plain.pt").as_posix()),
        ),
        comparisons=(
            Comparison(work, "peak_mb", ours, theirs, 4.0),
            Comparison(work.replace("peak memory", "time"), "wall_s", ours, theirs),
        ),
    )  # fmt: skip


def two_processes(place: Place) -> Row:
    one, two = "one process, one core", "two processes, one core each"

    def processes(name: str, number: int) -> Contender:
        if place.cores < 2:
            return Contender(name, skip="needs two cores")
        return place.ours(name, "whole", steps=place.sizes.steps + 1, cores=number, devices=number)

    return Row(
        "`ocuseg train` by one process and by two",
        steady=False, warm_up=False, rounds=2, material=("set",),
        contenders=(processes(two, 2), processes(one, 1)),
        comparisons=(Comparison(f"train U-Net {place.sizes.image}, an image", "image_s", two, one, 1.7),),
        note="each process has a batch of its own; the first step is left out.",
    )  # fmt: skip


ROWS: dict[str, Callable[[Place], Row]] = {
    "train-unet": train_unet,
    "train-whole": train_whole,
    "train-own": train_own,
    "train-hrnet": train_hrnet,
    "predict-folder": predict_folder,
    "cold-start": cold_start,
    "evaluate": evaluate,
    "peak-memory": peak_memory,
    "two-processes": two_processes,
}

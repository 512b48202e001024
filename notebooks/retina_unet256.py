# %% [markdown]
# # From a folder of fundus images to a tested model
#
# This notebook does the whole job with `ocuseg`: look at the data, check them, train the recipe `retina-unet256`, read
# the curves and the scores, look at the best and the worst images, and predict a new one.
#
# As it stands it draws its own data, images with exact vessel masks, and runs in about two minutes on two CPU cores. Set
# `DATA` to a folder to use your own. It is for research; nothing here is a medical device.

# %% [markdown]
# ## On Colab only
#
# This cell mounts your drive and installs the package. Anywhere else it does nothing. Until a release is on PyPI, put the
# path of a clone on your drive in the place of `ocuseg`, as in `/content/drive/MyDrive/ocuseg[train]`.

# %%
import sys

if "google.colab" in sys.modules:
    from google.colab import drive

    drive.mount("/content/drive")
    get_ipython().run_line_magic("pip", "install --quiet ocuseg[train]")

# %% [markdown]
# ## Settings
#
# `DATA` is `None` for drawn data, or a folder (on Colab, for example, `"/content/drive/MyDrive/dataset"`) in one of the
# layouts that `docs/data.md` describes. With your own data set `OVERRIDES = []`, which trains as long as the recipe says.

# %% parameters
DATA = None
RECIPE = "retina-unet256"
OVERRIDES = ["epochs=10", "steps_per_epoch=10"]  # any keys of the recipe; here a short run
DRAWN = {"train": 24, "val": 6, "test": 8}  # how many images to draw where DATA is None
DRAWN_PX = 256

# %%
import csv
import logging
import sys

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import ocuseg
from ocuseg.phantom import draw_fundus, write_fundus_set

plt.rcParams["figure.dpi"] = 72
plt.rcParams["axes.spines.top"] = plt.rcParams["axes.spines.right"] = False

logging.basicConfig(format="%(message)s", stream=sys.stdout)
logging.getLogger("ocuseg").setLevel(logging.INFO)

data = DATA
if data is None:
    data = write_fundus_set("fundus", DRAWN, seed=0, size=DRAWN_PX)

# %% [markdown]
# ## Check the data
#
# `check` reads every file once and says everything that is to be said: errors, warnings and notes, each with what was
# expected, what was found and what to do. Training does not start while there are errors.

# %%
checked = ocuseg.check(data, recipe=RECIPE, overrides=OVERRIDES)

print(f"{checked.index.layout} layout; {checked.index.pairing}")
for finding in checked:
    print(f"{finding.level:8}{finding.code}: {finding}")
print(checked.findings.summary)

# %%
print(f"{'split':8}{'images':>8}" + "".join(f"{name:>14}" for name in checked.classes.names))
for split, pixels in checked.class_pixels.items():
    shares = "".join(f"{share:14.2%}" for share in pixels / pixels.sum())
    print(f"{split:8}{len(checked.index.of_split(split)):8}{shares}")

# %% [markdown]
# ## Look at the data
#
# A few images of the training split, and the masks that belong to them. Does each mask lie on what it should mark?

# %%
shown = checked.index.of_split("train")[:4]
figure, axes = plt.subplots(2, len(shown), figsize=(2.6 * len(shown), 5.4), squeeze=False)
for column, record in enumerate(shown):
    axes[0, column].imshow(Image.open(record.image))
    axes[0, column].set_title(record.name, fontsize=9)
    axes[1, column].imshow(np.array(Image.open(record.mask)), cmap="gray", interpolation="nearest")
for axis in axes.flat:
    axis.axis("off")
figure.tight_layout()

# %% [markdown]
# ## Train
#
# The run folder gets everything: the recipe, the split, the history, the checkpoints, and at the end the *bundle*, which
# is the finished model. If this is interrupted, `ocuseg.train(resume=run_folder)` goes on.

# %%
run = ocuseg.train(data, RECIPE, overrides=OVERRIDES)
print("the run is in", run)

# %% [markdown]
# ## Curves
#
# The loss should fall on both splits. Where the training loss goes on falling and the validation loss rises, the network
# learns the training images by heart. The Dice here is taken at 256 x 256 with a threshold of 0.5; it serves to choose the
# best epoch, not to report.

# %%
history = run.history
epochs = [row["epoch"] for row in history]
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
for name in ("train_loss", "val_loss"):
    left.plot(epochs, [row[name] for row in history], label=name.replace("_", " "))
left.set(xlabel="epoch", title="loss", yscale="log")
left.legend(frameon=False)
right.plot(epochs, [row["val_dice"] for row in history])
right.set(xlabel="epoch", title="Dice on validation", ylim=(0, 1))
figure.tight_layout()

# %% [markdown]
# ## Scores on the test split
#
# At each image's own size, inside the field of view, with the threshold that was chosen on validation. *Pooled* is the
# score of the summed counts, with its 95 % interval; *per image* is the mean over the images. `docs/evaluation.md` says
# what each score means.

# %%
scores = ocuseg.evaluate(run, data, split="test")
metrics = scores.metrics

for line in (*scores.dead, *scores.warnings, *scores.failures):
    print("!", line)
print(f"{metrics['images']} images, {metrics['region'].replace('_', ' ')}, threshold {metrics['threshold']}\n")
print(f"{'':22}{'pooled':>8}{'95 %':>20}{'per image':>12}")
for row in metrics["classes"]:
    print(row["name"])
    for name in ("dice", "iou", "precision", "recall", "auc", "average_precision", "nsd", "cldice"):
        if name in row:
            score = row[name]
            low, high = score["ci95"] or (float("nan"), float("nan"))
            interval = f"{low:.4f} to {high:.4f}"
            print(f"  {name:20}{score['pooled']:8.4f}{interval:>20}{score['per_image']:12.4f}")

# %% [markdown]
# ## The threshold
#
# What other thresholds would have given. The line is the one that was used; it was chosen on validation. Choosing it
# here, on test, would make the score too good.

# %%
folder = run.folder / "evaluation" / metrics["split"]
with (folder / "thresholds.csv").open(newline="") as file:
    sweep = [row for row in csv.DictReader(file) if row["class_id"] == "1"]
thresholds = [float(row["threshold"]) for row in sweep]

figure, axis = plt.subplots(figsize=(6, 3.4))
for name in ("dice", "precision", "recall"):
    axis.plot(thresholds, [float(row[name] or "nan") for row in sweep], label=name)
if metrics["threshold"] is not None:
    axis.axvline(metrics["threshold"], color="0.3", linewidth=1, label=f"used: {metrics['threshold']:.2f}")
    print(f"the best threshold on these images would add {metrics['oracle_gap']['gap']:.4f} to the pooled Dice")
axis.set(xlabel="threshold on the probability", xlim=(0, 1), ylim=(0, 1))
axis.legend(frameon=False)
figure.tight_layout()

# %% [markdown]
# ## The best and the worst
#
# White is agreed, blue is missed, yellow is extra. The worst images say more than any average: is it the image, the
# reference or the network? All overlays are in the evaluation's folder, and `report.html` there shows them with the
# scores on one page.

# %%
ranking, dice = scores.best_first(), scores.image_dice()
chosen = ranking[:2] + ranking[2:][-2:]
figure, axes = plt.subplots(1, len(chosen), figsize=(3.1 * len(chosen), 3.4), squeeze=False)
for axis, index in zip(axes.flat, chosen, strict=True):
    name = scores.records[index].name
    axis.imshow(Image.open(folder / "overlays" / f"{name}.jpg"))
    axis.set_title(f"{name}: Dice {dice[index]:.3f}", fontsize=9)
    axis.axis("off")
figure.tight_layout()

# %% [markdown]
# ## Predict a new image
#
# A predictor is a function from an image, of any size, to a mask of the same size. It needs the bundle only, and no
# PyTorch.

# %%
predictor = ocuseg.load(run)
new_image = draw_fundus(seed=99, size=400).image if DATA is None else str(checked.index.records[-1].image)
result = predictor(new_image)

figure, axes = plt.subplots(1, 3, figsize=(10, 3.6))
axes[0].imshow(result.image)
axes[0].set_title("image", fontsize=9)
axes[1].imshow(result.probabilities[-1], cmap="magma", vmin=0, vmax=1)
axes[1].set_title(f"probability of {result.classes.names[-1]}", fontsize=9)
axes[2].imshow(result.overlay())
axes[2].set_title("mask", fontsize=9)
for axis in axes:
    axis.axis("off")
figure.tight_layout()
print(result.mask.shape, result.mask.dtype, "class ids", np.unique(result.mask))

# %% [markdown]
# ## Where to go next
#
# - Your own data: set `DATA` at the top, and give groups (`docs/data.md`), so that no person is in two splits.
# - Finer vessels: the recipe `vessels` works near native resolution.
# - Other settings: `docs/recipes.md` explains every key; add them to `OVERRIDES`.
# - The same job in a terminal: `ocuseg check`, `ocuseg train`, `ocuseg evaluate`, `ocuseg predict`.
# - Two models compared on the same images: `ocuseg compare`.

# %% [markdown]
# # From a folder of cataract images to a tested model of many classes
#
# This notebook does the second job of `ocuseg`: pixel-wise classes in images of the front of the eye with HRNet. It looks
# at the data, checks them, trains the recipe `cataract-hrnet`, reads curves, scores per class and the confusion matrix,
# and measures how much of the pupil is clouded.
#
# As it stands it draws its own data, eyes during surgery with exact masks, and runs in about two minutes on two CPU cores.
# Set `DATA` to a folder to use your own. It is for research; nothing here is a medical device.

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
# `DATA` is `None` for drawn data, or a folder (on Colab, for example, `"/content/drive/MyDrive/dataset"`) such as
#
# ```
# dataset/
#   train/  images/image1.png ...  masks/mask1.png ...
#   val/    images/                masks/
#   classes.yaml                   - {id: 0, name: background} and so on
# ```
#
# With your own data set `OVERRIDES = []`, which trains as long as the recipe says. Attention is one switch:
# `"network.attention=cbam"` (or `se`, `scse`, `ocr`).

# %% parameters
DATA = None
RECIPE = "cataract-hrnet"
OVERRIDES = ["preprocessing.size=[192, 192]", "epochs=12", "steps_per_epoch=12"]  # any keys; here a short run
DRAWN = {"train": 40, "val": 8, "test": 10}  # how many images to draw where DATA is None
DRAWN_PX = 256

# %%
import csv
import logging
import sys

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import ocuseg
from ocuseg.images import read_mask
from ocuseg.phantom import draw_eye, write_eye_set

plt.rcParams["figure.dpi"] = 72
plt.rcParams["axes.spines.top"] = plt.rcParams["axes.spines.right"] = False

logging.basicConfig(format="%(message)s", stream=sys.stdout)
logging.getLogger("ocuseg").setLevel(logging.INFO)

data = DATA
if data is None:
    data = write_eye_set("eyes", DRAWN, seed=0, size=DRAWN_PX)

# %% [markdown]
# ## Check the data
#
# `check` reads every file once: unpaired files, masks of another size, ids beyond the classes, unknown colours, a class
# that a split lacks, the same picture in two splits. Training does not start while there are errors.

# %%
checked = ocuseg.check(data, recipe=RECIPE, overrides=OVERRIDES)

print(f"{checked.index.layout} layout; {checked.index.pairing}")
for finding in checked:
    print(f"{finding.level:8}{finding.code}: {finding}")
print(checked.findings.summary)

# %% [markdown]
# How many pixels each class has. Where one is rare, `sampler=repeat_factor` shows the images that hold it more often, and
# `loss=ce_lovasz` or `class_weights=median_frequency` gives it more say; `docs/recipes.md` has them all.

# %%
print(f"{'split':8}{'images':>8}" + "".join(f"{name:>14}" for name in checked.classes.names))
for split, pixels in checked.class_pixels.items():
    if pixels.sum():
        shares = "".join(f"{share:14.2%}" for share in pixels / pixels.sum())
        print(f"{split:8}{len(checked.index.of_split(split)):8}{shares}")

# %% [markdown]
# ## Look at the data
#
# A few images of the training split, and their masks in the colours of the classes.

# %%
colours = checked.classes.colours
shown = checked.index.of_split("train")[:4]
figure, axes = plt.subplots(2, len(shown), figsize=(2.6 * len(shown), 5.4), squeeze=False)
for column, record in enumerate(shown):
    axes[0, column].imshow(Image.open(record.image))
    axes[0, column].set_title(record.name, fontsize=9)
    ids = checked.encoding.decode(read_mask(record.mask), record.name)
    axes[1, column].imshow(colours[np.where(ids < len(colours), ids, 0)])
for axis in axes.flat:
    axis.axis("off")
handles = [plt.Rectangle((0, 0), 1, 1, color=item.colour) for item in checked.classes.items]
figure.legend(handles, checked.classes.names, loc="lower center", ncol=len(handles), frameon=False)
figure.tight_layout(rect=(0, 0.06, 1, 1))

# %% [markdown]
# ## Train
#
# The run folder gets everything: the recipe, the split, the history, the checkpoints, and at the end the *bundle*, which
# is the finished model. If this is interrupted, `ocuseg.train(resume=run_folder)` goes on. A callback of your own, any of
# Lightning's, is passed as `callbacks=[...]`.

# %%
run = ocuseg.train(data, RECIPE, overrides=OVERRIDES)
print("the run is in", run)

# %% [markdown]
# ## Curves
#
# The loss should fall on both splits. The Dice here is the mean over the classes but the background, taken at the size
# that the network sees; it serves to choose the best epoch, not to report.

# %%
history = run.history
epochs = [row["epoch"] for row in history]
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
for name in ("train_loss", "val_loss"):
    left.plot(epochs, [row[name] for row in history], label=name.replace("_", " "))
left.set(xlabel="epoch", title="loss", yscale="log")
left.legend(frameon=False)
right.plot(epochs, [row["val_dice"] for row in history])
right.set(xlabel="epoch", title="mean foreground Dice on validation", ylim=(0, 1))
figure.tight_layout()

# %% [markdown]
# ## Scores on the test split
#
# Per class and as means, with and without the background, at each image's own size. *Pooled* is the score of the summed
# counts, with its 95 % interval; *per image* is the mean over the images. Without a test split the scores are those of
# `val`, which is said: that is no test. For few people, eyes or videos cross-validate: `ocuseg.train(..., folds=4)`.

# %%
scores = ocuseg.evaluate(run, data, split="test")
metrics = scores.metrics

for line in (*scores.dead, *scores.warnings, *scores.failures):
    print("!", line)
print(f"{metrics['images']} images of {metrics['split']}\n")
print(f"{'':24}{'pooled':>8}{'95 %':>20}{'per image':>12}")
for row in metrics["classes"]:
    print(row["name"])
    for name in ("dice", "iou", "precision", "recall"):
        score = row[name]
        low, high = score["ci95"] or (float("nan"), float("nan"))
        interval = f"{low:.4f} to {high:.4f}"
        print(f"  {name:22}{score['pooled']:8.4f}{interval:>20}{score['per_image']:12.4f}")
print(f"\nmean foreground Dice    {metrics['mean_foreground']['dice']['pooled']:8.4f}")
print(f"mIoU with background    {metrics['mean_all']['iou']['pooled']:8.4f}")
print(f"pixel accuracy          {metrics['pixel_accuracy']['pooled']:8.4f}")

# %% [markdown]
# ## What is taken for what
#
# Each row of the confusion matrix is a class of the reference, each column what the network said: the share of the row.

# %%
rows = scores.confusion / np.maximum(1, scores.confusion.sum(1, keepdims=True))
figure, axis = plt.subplots(figsize=(4.6, 4.2))
axis.imshow(rows, cmap="Blues", vmin=0, vmax=1)
names = scores.classes.names
axis.set_xticks(range(len(names)), names, rotation=45, ha="right")
axis.set_yticks(range(len(names)), names)
axis.set(xlabel="predicted", ylabel="reference")
for (row, column), share in np.ndenumerate(rows):
    axis.text(column, row, f"{share:.2f}", ha="center", va="center", color="w" if share > 0.5 else "0.2", fontsize=8)
figure.tight_layout()

# %% [markdown]
# ## The best and the worst
#
# Each class in its colour, firm where the prediction is wrong, with white edges where the reference has its borders. All
# overlays are in the evaluation's folder, and `report.html` there shows them with the scores on one page.

# %%
folder = run.folder / "evaluation" / metrics["split"]
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
# ## How much is affected
#
# A class that is part of another one, here the cataract in the pupil, is measured as a share of the whole. In
# `classes.yaml` the line reads `{id: 3, name: cataract, parent: pupil}`; the pupil then counts with its clouded part.

# %%
with (folder / "per_image.csv").open(newline="") as file:
    measured = [row for row in csv.DictReader(file) if row["reference_share_of_parent"]]
if measured:
    figure, axis = plt.subplots(figsize=(3.8, 3.8))
    axis.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for part in dict.fromkeys(row["class"] for row in measured):
        rows = [row for row in measured if row["class"] == part]
        true = [float(row["reference_share_of_parent"]) for row in rows]
        found = [float(row["prediction_share_of_parent"] or "nan") for row in rows]
        axis.plot(true, found, "o", label=part)
        print(f"{part}: mean absolute error {np.nanmean(np.abs(np.subtract(true, found))):.3f} of the whole")
    axis.set(xlabel="share in the reference", ylabel="share predicted", xlim=(0, 1), ylim=(0, 1))
    axis.legend(frameon=False)
    figure.tight_layout()

# %% [markdown]
# ## Predict a new image
#
# A predictor is a function from an image, of any size, to a mask of the same size. It needs the bundle only, and no
# PyTorch. `ocuseg predict` does the same for files and writes the areas of each class into `areas.csv`.

# %%
predictor = ocuseg.load(run)
new_image = draw_eye(seed=99, size=320).image if DATA is None else str(checked.index.records[-1].image)
result = predictor(new_image)

figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.8))
axes[0].imshow(result.image)
axes[0].set_title("image", fontsize=9)
axes[1].imshow(result.overlay())
axes[1].set_title("mask", fontsize=9)
for axis in axes:
    axis.axis("off")
figure.tight_layout()
for item in result.classes.items:
    print(f"{item.name:12}{np.mean(result.mask == item.id):8.1%} of the image")

# %% [markdown]
# ## Where to go next
#
# - Your own data: set `DATA` at the top, and give groups (`docs/data.md`), so that no person or video is in two splits.
# - Small sets: `ocuseg train DATA --recipe cataract-hrnet --folds 4` cross-validates by group and makes one ensemble.
# - Weights of your own or from ImageNet: `encoder_weights=FILE`, see `docs/recipes.md`.
# - If you come from Keras: `docs/keras.md` says what each word there is called here.

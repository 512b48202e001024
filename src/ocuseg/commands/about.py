"""The commands that tell: doctor, models, recipes."""

from __future__ import annotations

__all__ = ["doctor", "models", "recipes"]


def doctor() -> dict[str, str]:
    """Return the machine, the versions, and the precision and runtime that will be used here, and why."""
    from ocuseg.machine import describe_machine

    machine = describe_machine()
    packages = machine.pop("packages")
    try:
        from ocuseg.training.precision import choose_precision
    except ImportError:
        training = "not possible: PyTorch is not installed; pip install 'ocuseg[train]'"
    else:
        chosen = choose_precision()
        training = f"{chosen.name} on {chosen.device}: {chosen.reason}"
    return (
        {key: str(value) for key, value in machine.items()}
        | {name: version or "not installed" for name, version in packages.items()}
        | {"training": training, "prediction": "onnxruntime fp32 (auto); openvino and pytorch on request"}
    )


def models() -> dict[str, str]:
    """Return name and licence of each model that ships with the package."""
    from ocuseg.bundle import find_bundle, load_bundle, model_names

    return {name: load_bundle(find_bundle(name)).info.licence for name in model_names()}


def recipes() -> dict[str, str]:
    """Return name and description, one line, of each recipe that ships with the package."""
    from ocuseg.training.recipe import recipe_descriptions

    return recipe_descriptions()

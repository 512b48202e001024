"""The commands that tell: doctor, models, recipes."""

from __future__ import annotations

__all__ = ["doctor", "models", "recipes"]


def doctor() -> dict[str, str]:
    """Return the machine, the versions, the precision and runtime that will be used here and why, what is faster."""
    from ocuseg.machine import describe_machine
    from ocuseg.runtime import choose_runtime, faster_if_installed

    machine = describe_machine()
    packages = machine.pop("packages")
    runtime = choose_runtime()
    try:
        from ocuseg.training.precision import choose_precision
    except ImportError:
        training = "not possible: PyTorch is not installed; pip install 'ocuseg[train]'"
    else:
        chosen = choose_precision()
        training = f"{chosen.name} on {chosen.device}: {chosen.reason}"
    return (
        {key: str(value) for key, value in machine.items()}
        | {"processor_features": _features(), "gpu": _gpu()}
        | {name: version or "not installed" for name, version in packages.items()}
        | {"training": training, "prediction": f"{runtime.name}: {runtime.reason}"}
        | {"faster_with": "; ".join(faster_if_installed()) or "nothing else; what is known to be faster is installed"}
    )


def models() -> dict[str, str]:
    """Return the name of each model that ships with the package, what it finds, and under what licence."""
    from ocuseg.bundle import find_bundle, load_bundle, model_names

    shipped = {name: load_bundle(find_bundle(name)) for name in model_names()}
    return {
        name: f"{', '.join(bundle.classes.names[1:])}; {' '.join(bundle.info.licence.split())}"
        for name, bundle in shipped.items()
    }


def recipes() -> dict[str, str]:
    """Return name and description, one line, of each recipe that ships with the package."""
    from ocuseg.training.recipe import recipe_descriptions

    return recipe_descriptions()


def _features() -> str:
    from ocuseg.machine import processor_features

    features = processor_features()
    if features is None:
        return "not known: this system does not list them"
    return ", ".join(features) or "none that matters here"


def _gpu() -> str:
    from ocuseg.machine import has_nvidia_driver
    from ocuseg.runtime import cuda_gpu

    gpu = cuda_gpu()
    if gpu is not None:
        return gpu.name
    return "NVIDIA's driver is here, but no PyTorch that uses it" if has_nvidia_driver() else "no NVIDIA driver"

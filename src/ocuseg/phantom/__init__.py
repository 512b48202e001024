"""Drawn images of the eye with exact masks, for the demonstration, the tests, and to train on before real images.

Reading order: `tree` grows vessels, `texture` holds what all pictures share, `fundus` and `eye` draw, `disease`
adds to a fundus what is no vessel, `sets` writes.
Pictures to train on vary far more: `canvas` is what they are drawn on and `camera` what takes them; `surgery` puts
together what `globe`, `pupil`, `theatre` and `instruments` draw; `lens` draws retro-illumination photographs.
"""

from __future__ import annotations

from ocuseg.phantom.eye import draw_eye, eye_classes
from ocuseg.phantom.fundus import draw_fundus
from ocuseg.phantom.lens import draw_retro, retro_classes
from ocuseg.phantom.sets import write_eye_set, write_fundus_set, write_retro_set, write_surgery_set
from ocuseg.phantom.surgery import draw_surgery, surgery_classes
from ocuseg.phantom.texture import Phantom

__all__ = [
    "Phantom",
    "draw_eye",
    "draw_fundus",
    "draw_retro",
    "draw_surgery",
    "eye_classes",
    "retro_classes",
    "surgery_classes",
    "write_eye_set",
    "write_fundus_set",
    "write_retro_set",
    "write_surgery_set",
]

"""Drawn images of the eye with exact masks, for the demonstration and the tests.

Reading order: `tree` grows vessels, `texture` holds what all pictures share, `fundus` and `eye` draw, `sets` writes.
"""

from __future__ import annotations

from ocuseg.phantom.eye import draw_eye, eye_classes
from ocuseg.phantom.fundus import draw_fundus
from ocuseg.phantom.sets import write_eye_set, write_fundus_set
from ocuseg.phantom.texture import Phantom

__all__ = ["Phantom", "draw_eye", "draw_fundus", "eye_classes", "write_eye_set", "write_fundus_set"]

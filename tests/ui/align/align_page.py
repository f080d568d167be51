"""The Align tab as a page uses it."""

from types import SimpleNamespace

from huvidpo_core.ui.align_view import look
from huvidpo_core.ui.run_view import LATEST

STEPS = 8
PAGE = SimpleNamespace(session_hash="page")


def begin(form, **changes):
    values = {"action": "waterfall", "raters": [], "name": "calm", "preset": "", "loss": "", "steps": STEPS}
    return form.begin(**(values | {"beta": 0, "lr": 5e-4} | changes))


def parts(engine, run="", step=LATEST):
    return look(engine, run, step)[1]

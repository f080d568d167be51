"""The Teach tab as a page uses it."""

from types import SimpleNamespace

from huvidpo_core.ui import teach_draft
from huvidpo_core.ui.run_view import LATEST
from huvidpo_core.ui.teach_view import look

STEPS = 8
PAGE = SimpleNamespace(session_hash="page")
PROMPT = "a {} ball bounces"
DEFAULTS = {"gaps": "", "title": "Ball bounce", "prompt": PROMPT, "name": "", "preset": "", "steps": STEPS, "lr": 1e-3}


def bring(form, files, prompt=PROMPT):
    """The strip and the remarks in the end."""
    *_, (_, strip, remarks) = form.bring(PAGE, files, prompt)
    return strip, remarks


def begin(form, engine, **changes):
    return engine.trainings.find(form.begin(PAGE, **(DEFAULTS | {"check_every": 4} | changes)), "teach")


def event(**data):
    return SimpleNamespace(_data=data)


def key(form, name):
    return next(teach_draft.key_of(path) for path in form.sessions.of("page").draft.files if path.name == name)


def parts(engine, run="", step=LATEST):
    return look(engine, run, step)[1]

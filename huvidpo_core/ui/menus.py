"""The menus of actions, all over the page. An action that has been taught is in them without a reload or a restart."""

import json
from typing import Any

import gradio as gr

from huvidpo_core.engine import Engine

AT_ONCE = {"api_visibility": "private", "show_progress": "hidden", "queue": False}
# The player in Prefer is not Gradio's; its menu begins with all actions, and may not be there yet.
PLAYER_JS = """(titles) => {
  const menu = document.querySelector('#rating [name=action]');
  if (!menu) return;
  const chosen = menu.value, now = JSON.parse(titles);
  if (menu.options.length === now.length + 1) return;
  menu.replaceChildren(menu.options[0], ...now.map(([title, name]) => new Option(title, name)));
  menu.value = chosen;
}"""


def titles(engine: Engine) -> list[tuple[str, str]]:
    """The actions as choices."""
    return [(action.title, name) for name, action in engine.actions.items()]


def action_menu(engine: Engine, chosen: str) -> gr.Radio:
    """Create's menu as the actions are now, with this one chosen."""
    return gr.Radio(choices=titles(engine), value=chosen)


class ActionMenus:
    """Menus that are kept as the actions are."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._known = gr.Textbox(json.dumps(titles(engine)), visible=False)  # what the menus hold
        self._menus: list[tuple[Any, list[tuple[str, str]]]] = []

    def add(self, menu: gr.Radio | gr.Dropdown, *first: tuple[str, str]) -> None:
        """Keep a menu, whose choices begin with `first`."""
        self._menus.append((menu, list(first)))

    def refresh(self, known: str | None) -> list[Any]:
        """What the menus hold, and new choices for each; nothing where nothing has changed."""
        now = titles(self.engine)
        if (told := json.dumps(now)) == known:
            return [gr.skip()] * (1 + len(self._menus))
        return [told, *(type(menu)(choices=[*first, *now]) for menu, first in self._menus)]

    def wire(self, trigger: Any) -> None:
        """Refresh them on an event of the page."""
        done = trigger(self.refresh, self._known, [self._known, *(menu for menu, _ in self._menus)], **AT_ONCE)
        done.then(None, self._known, js=PLAYER_JS, **AT_ONCE)

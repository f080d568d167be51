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
  const held = [...menu.options].slice(1).map((option) => [option.text, option.value]);
  if (JSON.stringify(held) === JSON.stringify(now)) return;
  menu.replaceChildren(menu.options[0], ...now.map(([title, name]) => new Option(title, name)));
  menu.value = now.some(([, name]) => name === chosen) ? chosen : '';
  if (menu.value !== chosen && localStorage.huvidpoRater) menu.dispatchEvent(new Event('change', {bubbles: true}));
}"""


def titles(engine: Engine) -> list[tuple[str, str]]:
    """The actions as choices."""
    return [(action.title, name) for name, action in engine.actions.items()]


def action_menu(engine: Engine, chosen: str) -> gr.Radio:
    """Create's menu as the actions are now, with this one chosen."""
    return gr.Radio(choices=titles(engine), value=chosen)


def painter_menu(engine: Engine, chosen: str | None, **options: Any) -> gr.Dropdown:
    """The menu of painters as they are now, with this one chosen, whatever it is called now; the profile's own where it
    is gone. Hidden where there is no choice."""
    choices = [(choice.title, choice.id) for choice in engine.painters()]
    chosen = engine.called_now(chosen or "")
    value = chosen if chosen in [known for _, known in choices] else ""
    return gr.Dropdown(choices=choices, value=value, label="Drawn by", visible=len(choices) > 1, **options)


class ActionMenus:
    """Menus that are kept as the actions are."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._known = gr.Textbox(json.dumps(titles(engine)), visible=False)  # what the menus hold
        self._menus: list[tuple[Any, list[tuple[str, str]]]] = []

    def add(self, menu: gr.Radio | gr.Dropdown, *first: tuple[str, str]) -> None:
        """Keep a menu, whose choices begin with `first`."""
        self._menus.append((menu, list(first)))

    def refresh(self, known: str | None, *chosen: str | None) -> list[Any]:
        """What the menus hold, and new choices for each; nothing where nothing has changed. A menu whose chosen action
        is gone takes its first."""
        now = titles(self.engine)
        if (told := json.dumps(now)) == known:
            return [gr.skip()] * (1 + len(self._menus))
        fresh = [told]
        for (menu, first), value in zip(self._menus, chosen, strict=True):
            choices = [*first, *now]
            there = value is None or value in [name for _, name in choices]
            fresh.append(type(menu)(choices=choices, **{} if there else {"value": choices[0][1]}))
        return fresh

    def wire(self, trigger: Any) -> None:
        """Refresh them on an event of the page."""
        menus = [self._known, *(menu for menu, _ in self._menus)]
        done = trigger(self.refresh, menus, menus, **AT_ONCE)
        done.then(None, self._known, js=PLAYER_JS, **AT_ONCE)

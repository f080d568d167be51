"""What an endpoint's docstring says, told where Gradio's API page and its clients look for it: Gradio itself takes the
first paragraph for the endpoint and nothing for the parameters."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from gradio.components import Component


def offer(
    button: gr.Button, endpoint: Callable[..., Any], inputs: Sequence[Component], outputs: Any, **how: Any
) -> None:
    """Make a public endpoint of this function, under its name, on components nobody sees."""
    said = described(endpoint, inputs)
    button.click(endpoint, list(inputs), outputs, api_name=endpoint.__name__, api_description=said, **how)


def described(endpoint: Callable[..., Any], inputs: Sequence[Component]) -> str:
    """The endpoint's own description, what it returns included. Its `inputs` are given what is said of the parameters,
    unless they stand for those of an earlier endpoint already."""
    summary, _, rest = (inspect.getdoc(endpoint) or "").partition("\n\nArgs: ")
    arguments, _, returns = rest.partition("\n\nReturns: ")
    known = dict(zip(inspect.signature(endpoint).parameters, inputs, strict=False))  # a request is no input
    for item in _line(arguments).removesuffix(".").split("; "):
        names, _, words = item.partition(": ")
        for name in names.split(", "):
            if words and name in known:
                _tell(known[name], words)
    return f"{_line(summary)} Returns {_line(returns)}"


def _tell(component: Component, words: str) -> None:
    info = component.api_info()
    if not info.get("additional_description"):
        component.api_info = lambda: info | {"additional_description": words}


def _line(text: str) -> str:
    return " ".join(text.split())

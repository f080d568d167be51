"""The import order of house and README: who may know whom."""

import ast
from pathlib import Path

import pytest

CORE = Path(__file__).parents[1] / "huvidpo_core"

# Every room and the rooms it may import from, besides the plain modules at the top (config, errors, media, ...).
ALLOWED = {
    "models": set(),
    "preferences": set(),
    "generation": {"models", "preferences"},
    "training": {"models", "preferences", "generation"},
    "evaluation": {"models", "generation"},
    "miniature": {"models", "preferences", "generation", "training", "evaluation"},
    "ui": {"engine", "preferences"},
}
TOP = {"config", "container", "errors", "files", "media", "ffmpeg", "recipe", "results", "progress"}
FORBIDDEN = {"ui": {"torch", "diffusers"}, "preferences": {"torch", "diffusers", "gradio"}}


def imports(path: Path) -> set[str]:
    """Absolute names of everything a file imports, wherever in it."""
    package = ".".join(path.relative_to(CORE.parent).with_suffix("").parts)
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: -node.level]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("room", ALLOWED)
def test_a_room_imports_only_what_stands_below_it(room):
    """Reading the imports of every file: nothing from a room above or beside, nothing that is forbidden there."""
    for path in (CORE / room).rglob("*.py"):
        for name in imports(path):
            head, *rest = name.split(".")
            assert head not in FORBIDDEN.get(room, ()), f"{path}: {name}"
            if head == "huvidpo_core" and rest:
                assert rest[0] in ALLOWED[room] | TOP | {room, "__version__"}, f"{path}: {name}"


def test_only_the_interface_knows_gradio_and_only_training_knows_the_miniature():
    """Nothing outside `ui` imports gradio; nothing outside `miniature` imports it: the profile decides."""
    for path in CORE.rglob("*.py"):
        room = path.relative_to(CORE).parts[0]
        names = imports(path)
        assert room == "ui" or not any(name.split(".")[0] == "gradio" for name in names), path
        assert room == "miniature" or not any(name.startswith("huvidpo_core.miniature") for name in names), path

"""What all tests share."""

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def apps_are_forgotten() -> Iterator[None]:
    """After each test (see `forget_apps`)."""
    yield
    forget_apps()


def forget_apps() -> None:
    """Have FastAPI forget what kind of function each route was, and with the routes their apps: by the hundredth app of
    a process the garbage collector, which visits all that is in them, held up pages for seconds."""
    routes = sys.modules.get("fastapi.dependencies.models")
    for known in list(vars(routes).values()) if routes else ():
        if hasattr(known, "cache_clear"):
            known.cache_clear()

"""The web face of the engine; the only package that imports gradio."""

from huvidpo_core.ui.app import build_app, launch_options

__all__ = ["build_app", "launch_options"]

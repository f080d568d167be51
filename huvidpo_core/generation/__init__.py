"""Prompt to first frame, first frame to clip."""

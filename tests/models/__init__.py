"""Tests of huvidpo_core/models."""

"""Planned steps: a network and the shape of a batch become a fixed schedule. `anp.Plan` is the way in."""

from .plan import Plan

__all__ = ["Plan"]

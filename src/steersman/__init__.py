"""Steer language models in closed loop with optimal control."""

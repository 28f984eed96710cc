"""Fused stages for planned steps: what a plan takes in place of layer by layer, one file for each backend."""

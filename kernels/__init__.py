"""How each operation is computed: one folder per operation, one file per backend.

Nothing is imported from here by name: `alexnet_np.dispatch` loads kernels/<operation>/<backend>.py when needed.
"""

if __name__ != "alexnet_np.kernels":
    raise ImportError(f"import this package as alexnet_np.kernels, not as {__name__!r}")

"""Where numbers stopped being finite: the layer and the step, for the message that ends such a run."""

from ..backend import Array, array_module, brought, device_of
from ..network import Sequential


class NotFinite(ValueError):
    """A loss or a weight that is infinite or not a number."""


def finite(array: Array) -> bool:
    """Whether every element is a finite number."""
    return bool(array_module(array).isfinite(array).all())


def check_weights(model: Sequential) -> None:
    """Raises NotFinite where the last update left a weight that is not finite."""
    if told := _in_weights(model):
        raise NotFinite(f"weights are not finite: {told}")


def where_it_began(model: Sequential, x: Array, loss: float) -> str:
    """A sentence about a step whose loss is not finite, told before its backward.

    Weights that are not finite come from the update before: then the gradient to blame is the nearest to the output,
    since a backward goes from there. Else the forward pass is repeated, layer by layer, to the first that is not.
    """
    step = model.iteration + 1
    told = f"the loss is {loss} at step {step}"
    if began := _in_weights(model):
        return f"{told}: {began}"
    if not finite(x):
        return f"{told}: the images themselves are not finite"
    x = brought(x, device_of(next(iter(model.state_dict().values()))) or "cpu")
    for name, layer in model.items():
        y = layer.forward(x, train=True)
        if not finite(y):
            return f"{told}: it began in the output of {name}, whose input reaches {_reach(x)}"
        x = y
    return f"{told}: it began in the loss itself, of logits that reach {_reach(x)}"


def _in_weights(model: Sequential) -> str | None:
    bad = [name for name, layer, key in model.parameters() if not finite(layer.params[key])]
    if not bad:
        return None
    gradients = [n for n, layer, key in model.parameters() if key in layer.grads and not finite(layer.grads[key])]
    if gradients:
        return f"it began in the gradient of {gradients[-1]} at step {model.iteration}"
    return f"it began in the update of {bad[-1]} at step {model.iteration}"


def _reach(x: Array) -> str:
    return f"{float(abs(x).max()):.3g}"

"""Whole networks against PyTorch: activations, loss, gradients and updates, with the same elements dropped.

In float64 everything must agree to 1e-10. In float32 whole networks are not compared as they are: one ReLU or argmax
that rounding flips changes gradients by 1e-3 and more without anything being wrong. So float32 gets the reference's
inputs and decisions (masks, indices, scales), layer by layer and then through a whole backward pass.
"""

from typing import NamedTuple

import numpy as np
import pytest

import alexnet_np as anp
from alexnet_np import ops

torch = pytest.importorskip("torch", reason="PyTorch, against which the networks are compared, is not installed")

from alexnet_np.benchmarks.peers.torch_networks import FACTS, Masked, Norm, functional, logits, network, nn  # noqa: E402

DOUBLE, SINGLE = 1e-10, 1e-5  # largest difference over the largest value of the reference
CLASSES, SEED = 10, 5
# Sides for the five steps: fc6 then sees one position, which spares most of its weights, and the steps are many.
STEP_SIDES = {"paper": 67, "caffe": 67, "caffenet": 67, "torchvision": 67, "torch": 67, "keras": 195}


class Reference(NamedTuple):
    """Our float64 network, its peer, a batch, and the peer's tensors: (input, output) of each layer, with gradients."""

    variant: str
    model: anp.Sequential
    peer: nn.Sequential
    images: np.ndarray
    labels: np.ndarray
    loss: torch.Tensor
    tensors: dict[str, tuple[torch.Tensor, torch.Tensor]]


def draw_batch(variant, model, seed):
    """Two images whose pixels deviate as those that the variant is made for, so that LRN is far from the identity."""
    random = np.random.default_rng(seed)
    images = FACTS[variant].pixels * random.standard_normal((2, *model.input_shape))
    return images, random.integers(CLASSES, size=2)


@pytest.fixture(scope="module", params=FACTS)
def reference(request):
    model = anp.alexnet(request.param, CLASSES, SEED, np.float64)
    model.iteration = 3
    peer, (images, labels) = network(request.param, model), draw_batch(request.param, model, 0)
    tensors, y = {}, torch.from_numpy(images).requires_grad_()
    for name, module in peer[:-1].named_children():
        x, y = y, module(y)
        y.retain_grad()
        tensors[name] = x, y
    loss = functional.cross_entropy(y, torch.from_numpy(labels))
    loss.backward()
    return Reference(request.param, model, peer, images, labels, loss, tensors)


def assert_close(what, got, expected, tolerance):
    expected = expected.detach().numpy()
    np.testing.assert_equal(got.shape, expected.shape, err_msg=what)
    largest = np.abs(expected).max()
    np.testing.assert_array_less(0, largest, err_msg=f"{what}: nothing to compare")
    np.testing.assert_array_less(np.abs(got - expected).max() / largest, tolerance, err_msg=what)


def assert_gradients_close(reference, model, dy, tolerance):
    """Carry dy, the gradient of the logits, back through the layers, whose caches are there."""
    for name, (x, _) in reversed(reference.tensors.items()):
        layer = model[name]
        dy = layer.backward(dy)
        assert_close(f"d{name}", dy, x.grad, tolerance)
        for key, gradient in layer.grads.items():
            assert_close(f"d{name}.{key}", gradient, reference.peer.get_parameter(f"{name}.{key}").grad, tolerance)


def test_training_pass_agrees_in_float64(reference):
    x = reference.images
    for name, (_, expected) in reference.tensors.items():
        layer = reference.model[name]
        x = layer.forward(x, train=True)
        assert_close(name, x, expected, DOUBLE)
        if isinstance(layer, anp.layers.LRN):
            np.testing.assert_array_less(1.01 * layer.options["k"], layer.cache["scale"].max(), err_msg="LRN idles")
    loss, probs = ops.softmax_cross_entropy(x, reference.labels)
    assert_close("loss", loss, reference.loss, DOUBLE)
    dlogits = ops.softmax_cross_entropy_backward(probs, reference.labels)
    assert_gradients_close(reference, reference.model, dlogits, DOUBLE)


def test_prediction_agrees_in_float64(reference):
    """Without training: nothing is dropped, the paper's halving is there, and a softmax stands at the end."""
    x, y = reference.images, torch.from_numpy(reference.images)
    for name, module in reference.peer.eval().named_children():
        with torch.no_grad():
            y = module(y)
        x = reference.model[name].forward(x)
        assert_close(name, x, y, DOUBLE)
    np.testing.assert_allclose(x.sum(axis=1), 1, rtol=1e-12)


def single(tensor):
    return tensor.detach().numpy().astype(np.float32)


def reference_cache(module, x, y):
    """What a layer of ours would have kept, from the reference's tensors."""
    match module:
        case nn.MaxPool2d():
            index = functional.max_pool2d(x, 3, 2, return_indices=True)[1]
            return {"index": index.numpy().astype(np.int32), "x_shape": tuple(x.shape)}
        case Norm():
            return {"x": single(x), "scale": single(module.scale(x))}
        case nn.ReLU():
            return {"y": single(y)}
        case nn.Flatten() | Masked():
            return {"x_shape": tuple(x.shape)}
    return {"x": single(x)}


def float32_model(reference):
    """The same network in float32; its weights are the same numbers, since they are drawn in float32."""
    model = anp.alexnet(reference.variant, CLASSES, SEED, np.float32)
    model.iteration = reference.model.iteration
    return model


def test_each_layer_alone_agrees_in_float32(reference):
    model = float32_model(reference)
    for name, (x, y) in reference.tensors.items():
        layer = model[name]
        assert_close(name, layer.forward(single(x), train=True), y, SINGLE)
        injected = reference_cache(reference.peer.get_submodule(name), x, y)
        assert layer.cache.keys() == injected.keys(), name
        layer.cache = injected
        dx = layer.backward(single(y.grad))
        assert dx.dtype == np.float32
        assert_close(f"d{name}", dx, x.grad, SINGLE)
        for key, gradient in layer.grads.items():
            assert_close(f"d{name}.{key}", gradient, reference.peer.get_parameter(f"{name}.{key}").grad, SINGLE)


def test_whole_backward_agrees_in_float32_given_the_decisions(reference):
    model = float32_model(reference)
    for name, (x, y) in reference.tensors.items():
        model[name].cache = reference_cache(reference.peer.get_submodule(name), x, y)
    last = list(reference.tensors.values())[-1][1]
    _, probs = ops.softmax_cross_entropy(single(last), reference.labels)
    dlogits = ops.softmax_cross_entropy_backward(probs, reference.labels)
    assert_gradients_close(reference, model, dlogits, SINGLE)


@pytest.mark.parametrize("variant", FACTS)
def test_five_steps_of_the_papers_rule_agree_with_torch_sgd(variant):
    """The paper keeps the learning rate inside the momentum, PyTorch outside: the same while it is constant."""
    side = STEP_SIDES.get(variant)
    model = anp.alexnet(variant, CLASSES, SEED, np.float64, input_shape=side and (3, side, side))
    velocity = {name: np.zeros_like(array) for name, array in model.state_dict().items()}
    peer, lr = network(variant, model, copy=True), 0.01
    optimizer = torch.optim.SGD(peer.parameters(), lr=lr, momentum=0.9, weight_decay=0.0005)
    for step in range(5):
        images, labels = draw_batch(variant, model, step)
        scores = model.forward(images, train=True, logits=True)
        loss, probs = ops.softmax_cross_entropy(scores, labels)
        model.backward(ops.softmax_cross_entropy_backward(probs, labels), need_dx=False)
        for name, layer, key in model.parameters():
            ops.sgd_momentum_(layer.params[key], velocity[name], layer.grads[key], lr=lr)

        optimizer.zero_grad()
        expected = functional.cross_entropy(logits(peer, torch.from_numpy(images)), torch.from_numpy(labels))
        expected.backward()
        optimizer.step()
        assert_close(f"loss of step {step}", loss, expected, DOUBLE)
        model.iteration += 1  # after both have used its mask
    for name, array in model.state_dict().items():
        assert_close(name, array, peer.get_parameter(name), DOUBLE)

"""Golden numbers of methods without a reference implementation to call: a dense float64 model with autograd.

A method is a function from a frozen weight [out, in] and its tensors to the effective weight, or where there is none, from an input,
the weight and the tensors to the output; everything else (network, gradients, AdamW, folder) is here. Nothing is factored, cached or rearranged, so that it shares no shortcut with the Rust code.
"""

from common import ROOT, versions, write_json, write_tensors

import torch

GOLDEN = ROOT / "crates/peft-decompose/tests/golden"
ADAMW = dict(lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
ROWS, STEPS = 5, 3
SINGLE = [("linear", 12, 7)]
TWO_LAYERS = [("layers.0.up", 12, 10), ("layers.0.down", 10, 9), ("layers.1.up", 9, 8), ("layers.1.down", 8, 7)]


def rounded(tensor):
    """Values that float32 holds exactly, so that the reference starts where the files do."""
    return tensor.float().double()


def forward(layers, x, product, biases):
    """One linear layer, or blocks `down(tanh(up(x)))`; `product(path, x)` is a layer without its bias."""
    for index, (path, _, _) in enumerate(layers):
        x = product(path, x)
        if path in biases:
            x = x + biases[path]
        if len(layers) > 1 and index % 2 == 0:
            x = torch.tanh(x)
    return x


def write_case(method, name, seed, layers, bias, config, start, effective=None, product=None, golden=GOLDEN, shared=None, adamw=ADAMW, update=None):
    """`start(path, W, d_in, d_out)` gives {name: (tensor, trains)}, `effective(W, tensors)` the weight, both per layer; methods without
    a weight give `product(x, W, tensors)` instead. `update(trained, loss, out)` trains otherwise than by AdamW.

    `shared` maps the path of a layer to that of an earlier one whose tensors it uses."""
    torch.manual_seed(seed)
    frozen = {path: rounded(torch.randn(d_out, d_in, dtype=torch.float64) / d_in**0.5) for path, d_in, d_out in layers}
    biases = {path: rounded(0.3 * torch.randn(d_out, dtype=torch.float64)) for path, _, d_out in layers if bias}
    tensors, trained = {}, {}
    for path, d_in, d_out in layers:
        if path in (shared or {}):
            tensors[path] = tensors[shared[path]]
            continue
        tensors[path] = {}
        for key, (value, trains) in start(path, frozen[path], d_in, d_out).items():
            tensors[path][key] = rounded(value).requires_grad_(trains)
            if trains:
                trained[f"{path}.{key}"] = tensors[path][key]
    folder = {f"base_model.model.{path}.{key}": t.float() for path in tensors if path not in (shared or {}) for key, t in tensors[path].items()}
    write_tensors(golden / method / name / "adapter_model.safetensors", folder)
    targets = sorted({path.rsplit(".", 1)[-1] for path, _, _ in layers})
    write_json(golden / method / name / "adapter_config.json", {"target_modules": targets, **config})

    x = rounded(torch.randn(ROWS, layers[0][1], dtype=torch.float64)).requires_grad_()
    target = rounded(torch.randn(ROWS, layers[-1][2], dtype=torch.float64))
    out = {"x": x, "target": target}
    out.update({f"{path}.weight": w for path, w in frozen.items()})
    out.update({f"{path}.bias": b for path, b in biases.items()})

    def step(inputs):
        if effective is None:
            weights = {}
            layer = lambda path, x: product(x, frozen[path], tensors[path])
        else:
            weights = {path: effective(frozen[path], tensors[path]) for path in frozen}
            layer = lambda path, x: x @ weights[path].T
        y = forward(layers, inputs, layer, biases)
        return weights, y, (y - target).square().mean()

    weights, y, loss = step(x)
    loss.backward()
    out.update(y=y, grad_x=x.grad.clone())
    out.update({f"{path}.merged_weight": w for path, w in weights.items()})
    for key, tensor in trained.items():
        assert tensor.grad.abs().max() > 1e-4, key
        out[f"{key}@grad"] = tensor.grad.clone()
    losses = (update or train)(trained, lambda: step(x.detach())[2], out, adamw)
    assert losses[-1] < losses[0]
    write_tensors(golden / method / f"{name}.safetensors", {key: t.detach().float() for key, t in out.items()})
    sites = [dict(path=path, d_in=d_in, d_out=d_out) for path, d_in, d_out in layers]
    adamw = {**adamw, "betas": list(adamw["betas"])}
    about = dict(sites=sites, losses=losses, adamw=adamw, seed=seed, versions=versions())
    write_json(golden / method / f"{name}.json", about)


def train(trained, loss_of, out, adamw):
    """AdamW steps on one batch; returns the losses before the first and after each step."""
    optimizer = torch.optim.AdamW(trained.values(), **adamw)
    losses = []
    for step in range(STEPS + 1):
        loss = loss_of()
        losses.append(loss.item())
        if step == STEPS:
            return losses
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        out.update({f"{key}@step{step + 1}": tensor.detach().clone() for key, tensor in trained.items()})

"""Shared by the golden generators of PEFT's tuners that start as the identity: one case of a tuner's real layers, moved away from there.

A case is forward, merged weight, gradients of loss = mean((y - target)^2), three AdamW steps on the same batch. Values are drawn in
float32 and all that follows is computed in float64. `<case>/` is the adapter folder that PEFT's save_pretrained writes before training.
"""

from common import versions, write_json, write_tensors

import torch
from lora import ADAMW, ROWS, train_parts
from peft import get_peft_model

PREFIX = "base_model.model."


def layers_of(model, kind):
    """(path without `base_model.model.`, live PEFT layer), in model order."""
    return [(name.removeprefix(PREFIX), module) for name, module in model.named_modules() if isinstance(module, kind)]


def write_case(golden, name, seed, network, bias, config, kind, parts, size=0.3):
    """`parts(path, layer)` are the trained tensors of a layer under the names of the file; each is moved by normal numbers of that size."""
    torch.manual_seed(seed)
    model = get_peft_model(network(bias), config)
    layers = layers_of(model, kind)
    for path, layer in layers:
        for tensor in parts(path, layer).values():
            tensor.data += size * torch.randn_like(tensor)
    model.save_pretrained(golden / name)
    (golden / name / "README.md").unlink()
    model.double().eval()
    x = torch.randn(ROWS, layers[0][1].in_features).double().requires_grad_()
    target = torch.randn(ROWS, layers[-1][1].out_features).double()
    out = {"x": x, "target": target}
    sites = []
    for path, layer in layers:
        base = layer.get_base_layer()
        sites.append(dict(path=path, d_in=base.in_features, d_out=base.out_features))
        out[f"{path}.weight"] = base.weight.clone()
        if base.bias is not None:
            out[f"{path}.bias"] = base.bias.clone()
    start = {k: v.clone() for k, v in model.state_dict().items()}

    y = model(x)
    (y - target).square().mean().backward()
    out["y"], out["grad_x"] = y, x.grad.clone()
    for path, layer in layers:
        for part, tensor in parts(path, layer).items():
            assert tensor.grad.abs().max() > 1e-5, part
            out[f"{part}@grad"] = tensor.grad.clone()
    model.zero_grad()
    losses = train_parts(model, layers, parts, x.detach(), target, out)
    model.load_state_dict(start)
    merged = model.merge_and_unload()
    torch.testing.assert_close(merged(x), y, rtol=1e-9, atol=1e-9)
    for path, _ in layers:
        out[f"{path}.merged_weight"] = merged.get_submodule(path).weight.clone()
        assert (out[f"{path}.merged_weight"] - out[f"{path}.weight"]).abs().max() > 1e-3, path
    assert losses[-1] < losses[0]
    write_tensors(golden / f"{name}.safetensors", {k: v.float() for k, v in out.items()})
    about = dict(
        network=network.__doc__.strip(),
        sites=sites,
        losses=losses,
        adamw={**ADAMW, "betas": list(ADAMW["betas"])},
        seed=seed,
        versions=versions(),
    )
    write_json(golden / f"{name}.json", about)

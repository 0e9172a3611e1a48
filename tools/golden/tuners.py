"""Golden numbers of PEFT's other tuners on a small network, shared by the generators: `write_case` writes a case
FOLDER/<case>.{safetensors,json} and FOLDER/<case>/, `check` reads folders of this project back in PEFT.

Each case is a small torch network with PEFT's real layers (what trains made random): forward, merged weight, gradients
of loss = mean((y - target)^2), three AdamW steps on the same batch. `<case>/` is the adapter folder that PEFT's
save_pretrained writes before training.
"""

import json

from common import versions, write_json, write_tensors

import torch
from lora import ADAMW, ROWS, train_parts
from peft import PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file
from torch import nn


def layers_of(model, kind):
    """(path without `base_model.model.`, live PEFT layer), in model order."""
    prefix = "base_model.model."
    return [(name.removeprefix(prefix), m) for name, m in model.named_modules() if isinstance(m, kind)]


def trained(path, layer):
    """The trained tensors of a layer under the names of the file."""
    names = [name for name in layer.adapter_layer_names if "default" in getattr(layer, name)]
    return {f"{path}.{name}": getattr(layer, name)["default"] for name in names}


def describe(layers):
    sites = []
    for path, layer in layers:
        base, ranks = layer.get_base_layer(), getattr(layer, "r", None) or layer.miss_r
        sites.append(dict(path=path, d_in=base.in_features, d_out=base.out_features, rank=ranks["default"]))
    return sites


def write_case(folder, name, seed, network, config, kind, deviations, exact=True):
    """`deviations`: standard deviation of what trains, by a part of its name. `exact`: computed in float64, rounded once."""
    torch.manual_seed(seed)
    model = get_peft_model(network(True), config)
    layers = layers_of(model, kind)
    for path, layer in layers:
        for key, parameter in trained(path, layer).items():
            deviation = next(value for part, value in deviations.items() if part in key)
            nn.init.normal_(parameter, std=deviation)
    model.save_pretrained(folder / name)
    (folder / name / "README.md").unlink()
    if exact:
        model.double()
    dtype = next(model.parameters()).dtype
    x = torch.randn(ROWS, layers[0][1].get_base_layer().in_features).to(dtype).requires_grad_()
    target = torch.randn(ROWS, layers[-1][1].get_base_layer().out_features).to(dtype)
    out = {"x": x, "target": target}
    for path, layer in layers:
        base = layer.get_base_layer()
        out[f"{path}.weight"] = base.weight.clone()
        out[f"{path}.bias"] = base.bias.clone()

    y = model(x)
    (y - target).square().mean().backward()
    out["y"], out["grad_x"] = y, x.grad.clone()
    for path, layer in layers:
        out.update({f"{key}@grad": p.grad.clone() for key, p in trained(path, layer).items()})
        assert all(p.grad.abs().max() > 1e-4 for p in trained(path, layer).values()), path

    start = {k: v.clone() for k, v in model.state_dict().items()}
    losses = train_parts(model, layers, trained, x.detach(), target, out)
    model.load_state_dict(start)
    sites = describe(layers)
    merged = model.merge_and_unload()
    for path, _ in layers:
        out[f"{path}.merged_weight"] = merged.get_submodule(path).weight.clone()
    torch.testing.assert_close(merged(x), y, rtol=1e-4, atol=1e-5)
    assert losses[-1] < losses[0]
    write_tensors(folder / f"{name}.safetensors", {key: value.float() for key, value in out.items()})
    about = dict(
        network=network.__doc__.strip(),
        sites=sites,
        losses=losses,
        adamw={**ADAMW, "betas": list(ADAMW["betas"])},
        seed=seed,
        versions=versions(),
    )
    write_json(folder / f"{name}.json", about)


def check(folder, name, network, written):
    """A folder that this project wrote gives PEFT the same tensors and outputs as the case's own."""
    numbers = load_file(folder / f"{name}.safetensors")
    base = network(True)
    paths = [site["path"] for site in json.loads((folder / f"{name}.json").read_text())["sites"]]
    for path in paths:
        for part in ("weight", "bias"):
            getattr(base.get_submodule(path), part).data = numbers[f"{path}.{part}"]
    model = PeftModel.from_pretrained(base, written)
    ours, loaded = load_file(written / "adapter_model.safetensors"), get_peft_model_state_dict(model)
    # PEFT repeats a tensor that all layers have beside each of them; here it is written once.
    once = {key: f"base_model.{key.rsplit('.', 1)[1]}" for key in loaded}
    assert all(key in loaded for key in ours), ours.keys() - loaded.keys()
    for key, value in loaded.items():
        assert torch.equal(ours[key] if key in ours else ours[once[key]], value.float()), f"{name}: {key}"
    difference = (model.eval()(numbers["x"]) - numbers["y"]).abs().max().item()
    print(f"{name}: {len(ours)} tensors, outputs differ by at most {difference:.1e}")
    assert difference <= 1e-5

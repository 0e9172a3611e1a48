"""Golden VeRA numbers from PEFT: crates/peft-lowrank/tests/golden/vera/<case>.{safetensors,json} and <case>/

Each case is a small torch network with PEFT's real VeRA layers (the vectors made random): forward, merged weight,
gradients of loss = mean((y - target)^2), three AdamW steps on the same batch. `<case>/` is the adapter folder that
PEFT's save_pretrained writes before training; that of `vera-drawn` holds no matrices, only the seed of them.

Regenerate from the repository root:  python3 tools/golden/vera.py
"""

import warnings

from common import ROOT, fresh, versions, write_json, write_tensors

import peft
import torch
from lora import ADAMW, ROWS, Single, TwoLayers, train_parts
from peft import VeraConfig, get_peft_model

GOLDEN = ROOT / "crates/peft-lowrank/tests/golden/vera"
CASES = {
    "vera": (Single, True, dict(r=4, target_modules=["linear"])),
    "vera-sizes": (TwoLayers, True, dict(r=6, target_modules=["up", "down"], d_initial=0.3, projection_prng_key=77)),
    "vera-drawn": (
        TwoLayers,
        True,
        dict(r=3, target_modules=["up", "down"], projection_prng_key=2**32 + 5, save_projection=False),
    ),
}


def vera_layers(model):
    prefix = "base_model.model."
    return [
        (name.removeprefix(prefix), module)
        for name, module in model.named_modules()
        if isinstance(module, peft.tuners.vera.layer.VeraLayer)
    ]


def parts(path, layer):
    """The trained tensors of a layer under the names of the file."""
    return {
        f"{path}.vera_lambda_b": layer.vera_lambda_b["default"],
        f"{path}.vera_lambda_d": layer.vera_lambda_d["default"],
    }


def write_case(name, seed, network, bias, fields):
    torch.manual_seed(seed)
    model = get_peft_model(network(bias), VeraConfig(**fields))
    layers = vera_layers(model)
    for _, layer in layers:
        torch.nn.init.normal_(layer.vera_lambda_b["default"], std=0.5)
        torch.nn.init.normal_(layer.vera_lambda_d["default"], std=0.5)
    model.save_pretrained(GOLDEN / name)
    (GOLDEN / name / "README.md").unlink()
    x = torch.randn(ROWS, 12, requires_grad=True)
    target = torch.randn(ROWS, 7)
    out = {"x": x, "target": target}
    sites = []
    for path, layer in layers:
        base = layer.get_base_layer()
        sites.append(dict(path=path, d_in=base.in_features, d_out=base.out_features, rank=layer.r["default"]))
        out[f"{path}.weight"] = base.weight.clone()
        if base.bias is not None:
            out[f"{path}.bias"] = base.bias.clone()

    y = model(x)
    (y - target).square().mean().backward()
    out["y"], out["grad_x"] = y, x.grad.clone()
    for path, layer in layers:
        out.update({f"{name}@grad": p.grad.clone() for name, p in parts(path, layer).items()})
        assert all(p.grad.abs().max() > 1e-4 for p in parts(path, layer).values()), path

    start = {k: v.clone() for k, v in model.state_dict().items()}
    losses = train_parts(model, layers, parts, x.detach(), target, out)
    model.load_state_dict(start)
    merged = model.merge_and_unload()
    for path, _ in layers:
        out[f"{path}.merged_weight"] = merged.get_submodule(path).weight.clone()
    torch.testing.assert_close(merged(x), y, rtol=1e-4, atol=1e-5)
    assert losses[-1] < losses[0]
    write_tensors(GOLDEN / f"{name}.safetensors", out)
    about = dict(
        network=network.__doc__.strip(),
        sites=sites,
        losses=losses,
        adamw={**ADAMW, "betas": list(ADAMW["betas"])},
        seed=seed,
        versions=versions(),
    )
    write_json(GOLDEN / f"{name}.json", about)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", message=".*not save vera_A.*")
    fresh(GOLDEN)
    for number, (case, (net, with_bias, config_fields)) in enumerate(CASES.items()):
        write_case(case, 600 + number, net, with_bias, config_fields)

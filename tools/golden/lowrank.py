"""Golden numbers of ShareLoRA, ResLoRA, SBoRA and MultiLoRA, none of which PEFT has, from their formulas in torch:
crates/peft-lowrank/tests/golden/<method>/<case>.{safetensors,json} and <case>/

Each case is two blocks down(tanh(up(x))) of equal size with adapters on every layer (nothing trained is zero): forward, gradients
of loss = mean((y - target)^2), three AdamW steps on the same batch, merged weights where there are any. `<case>/` is the
adapter folder before training, as this project writes it.

Regenerate from the repository root:  python3 tools/golden/lowrank.py
"""

from common import ROOT, fresh, versions, write_json, write_tensors

import torch
from lora import ADAMW, ROWS, STEPS

GOLDEN = ROOT / "crates/peft-lowrank/tests/golden"
WIDE, INNER, RANK, ALPHA = 12, 10, 3, 6.0
SCALE = ALPHA / RANK
SITES = [("layers.0.up", WIDE, INNER), ("layers.0.down", INNER, WIDE), ("layers.1.up", WIDE, INNER), ("layers.1.down", INNER, WIDE)]


def kind(path):
    return path.rsplit(".", 1)[1]


def numbers(*shape, size=1.0):
    """Float32 numbers to compute with in float64, so that the results are right to the last digit of float32."""
    return (size * torch.randn(*shape)).double()


def parameter(*shape):
    return torch.nn.Parameter(numbers(*shape, size=0.25))


def single(tensors):
    return {name: value if value.dtype == torch.int64 else value.float() for name, value in tensors.items()}


class ShareA:
    """One A for all layers of a type, each its own B."""

    config = dict(peft_type="SHARE_LORA", share="a")

    def __init__(self):
        self.parameters, self.fixed, first = {}, {}, {}
        self.of = {}
        for path, d_in, d_out in SITES:
            if kind(path) not in first:
                first[kind(path)] = parameter(RANK, d_in)
                self.parameters[f"{path}.lora_A.weight"] = first[kind(path)]
            b = self.parameters[f"{path}.lora_B.weight"] = parameter(d_out, RANK)
            self.of[path] = (first[kind(path)], b)

    def weight(self, path):
        a, b = self.of[path]
        return SCALE * b @ a

    def delta(self, path, x, seen):
        return x @ self.weight(path).T


class Inputs:
    """The input of the layer of this type before is added to the layer's own."""

    config = dict(peft_type="RES_LORA")

    def __init__(self):
        self.parameters, self.fixed = {}, {}
        for path, d_in, d_out in SITES:
            self.parameters[f"{path}.lora_A.weight"] = parameter(RANK, d_in)
            self.parameters[f"{path}.lora_B.weight"] = parameter(d_out, RANK)

    weight = None

    def delta(self, path, x, seen):
        before = seen.get(kind(path), x)
        a, b = (self.parameters[f"{path}.lora_{factor}.weight"] for factor in "AB")
        return SCALE * ((x + before) @ a.T) @ b.T


class Selection:
    """One factor selects inputs (FA) or outputs (FB)."""

    def __init__(self, side):
        self.config = dict(peft_type="SBORA", side=side)
        self.side, self.parameters, self.fixed = side, {}, {}
        for path, d_in, d_out in SITES:
            count = d_in if side == "input" else d_out
            self.fixed[f"{path}.sbora_indices"] = torch.randperm(count)[:RANK].sort().values
            name, shape = ("lora_B", (d_out, RANK)) if side == "input" else ("lora_A", (RANK, d_in))
            self.parameters[f"{path}.{name}.weight"] = parameter(*shape)

    def weight(self, path):
        d_in, d_out = next((i, o) for p, i, o in SITES if p == path)
        chosen = self.fixed[f"{path}.sbora_indices"]
        if self.side == "input":
            a = torch.nn.functional.one_hot(chosen, d_in).double()
            return SCALE * self.parameters[f"{path}.lora_B.weight"] @ a
        b = torch.nn.functional.one_hot(chosen, d_out).double().T
        return SCALE * b @ self.parameters[f"{path}.lora_A.weight"]

    def delta(self, path, x, seen):
        return x @ self.weight(path).T


class Several:
    """Products side by side, each behind a gate for every output."""

    config = dict(peft_type="MULTI_LORA", multilora_count=2)

    def __init__(self):
        self.parameters, self.fixed = {}, {}
        for path, d_in, d_out in SITES:
            for index in range(2):
                self.parameters[f"{path}.multilora_A.{index}.weight"] = parameter(RANK, d_in)
                self.parameters[f"{path}.multilora_B.{index}.weight"] = parameter(d_out, RANK)
                self.parameters[f"{path}.multilora_gate.{index}"] = parameter(d_out)

    def weight(self, path):
        def product(index):
            a, b = (self.parameters[f"{path}.multilora_{factor}.{index}.weight"] for factor in "AB")
            return self.parameters[f"{path}.multilora_gate.{index}"][:, None] * (b @ a)

        return SCALE * (product(0) + product(1))

    def delta(self, path, x, seen):
        return x @ self.weight(path).T


def forward(base, method, x):
    seen = {}
    for block in range(2):
        for part in ("up", "down"):
            path = f"layers.{block}.{part}"
            weight, bias = base[f"{path}.weight"], base[f"{path}.bias"]
            y = x @ weight.T + bias + method.delta(path, x, seen)
            seen[part] = x
            x = torch.tanh(y) if part == "up" else y
    return x


def write_case(folder, name, seed, make):
    torch.manual_seed(seed)
    method = make()
    base = {}
    for path, d_in, d_out in SITES:
        base[f"{path}.weight"] = numbers(d_out, d_in, size=0.2)
        base[f"{path}.bias"] = numbers(d_out, size=0.1)
    x = numbers(ROWS, WIDE).requires_grad_()
    target = numbers(ROWS, WIDE)
    out = {"x": x, "target": target, **base}
    (folder / name).mkdir(parents=True)
    tensors = {f"base_model.model.{key}": value for key, value in {**method.parameters, **method.fixed}.items()}
    write_tensors(folder / name / "adapter_model.safetensors", single(tensors))
    config = dict(r=RANK, lora_alpha=ALPHA, target_modules=["up", "down"], format_version=1, **method.config)
    write_json(folder / name / "adapter_config.json", config)

    y = forward(base, method, x)
    (y - target).square().mean().backward()
    out["y"], out["grad_x"] = y, x.grad.clone()
    for key, value in method.parameters.items():
        assert value.grad.abs().max() > 1e-4, key
        out[f"{key}@grad"] = value.grad.clone()
    if method.weight is not None:
        for path, _, _ in SITES:
            out[f"{path}.merged_weight"] = base[f"{path}.weight"] + method.weight(path)
    optimizer = torch.optim.AdamW(method.parameters.values(), **ADAMW)
    losses = []
    for step in range(STEPS + 1):
        loss = (forward(base, method, x.detach()) - target).square().mean()
        losses.append(loss.item())
        if step == STEPS:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        out.update({f"{key}@step{step + 1}": value.clone() for key, value in method.parameters.items()})
    assert losses[-1] < losses[0]
    write_tensors(folder / f"{name}.safetensors", single(out))
    about = dict(
        network="y = layers.1(layers.0(x)), each down(tanh(up(x)))",
        sites=[dict(path=path, d_in=d_in, d_out=d_out, rank=RANK, alpha=ALPHA) for path, d_in, d_out in SITES],
        losses=losses,
        adamw={**ADAMW, "betas": list(ADAMW["betas"])},
        seed=seed,
        versions=versions(),
    )
    write_json(folder / f"{name}.json", about)


if __name__ == "__main__":
    CASES = {
        "sharelora": {"sharelora": ShareA},
        "reslora": {"reslora": Inputs},
        "sbora": {"sbora": lambda: Selection("input"), "sbora-output": lambda: Selection("output")},
        "multilora": {"multilora": Several},
    }
    seed = 700
    for method_id, cases in CASES.items():
        directory = fresh(GOLDEN / method_id)
        for case, make_method in cases.items():
            write_case(directory, case, seed, make_method)
            seed += 1

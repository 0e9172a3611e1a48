"""Generates targets.json: what Hugging Face PEFT itself selects, for the tests in tests/targets.rs.

Run with PEFT 0.21, torch and transformers installed:

    python crates/peft-format/tests/golden/targets.py
"""

import json
import pathlib
import types

import peft
import torch
from peft import LoraConfig
from peft.tuners.tuners_utils import (
    _find_minimal_target_modules,
    _maybe_include_all_linear_layers,
    check_target_module_exists,
)
from peft.utils.other import get_pattern_key
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)
from transformers.pytorch_utils import Conv1D

LLAMA = [f"model.layers.{i}.{m}" for i in (0, 1, 10) for m in (
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
    "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")] + ["lm_head", "score"]
BERT = [f"bert.encoder.layer.{i}.{m}" for i in (0, 1, 11) for m in (
    "attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
    "intermediate.dense", "output.dense")] + ["bert.pooler.dense", "classifier", "classifier.dense", "my_classifier"]
GPT2 = [f"transformer.h.{i}.{m}" for i in (0, 3) for m in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")]
ODD = ["q_proj", "layers.0.q_proj", "h.1.q_proj", "model.layers.1.experts.0.w1", "model.layers.0.experts.1.w1",
       "vision.blocks.2.q_proj", "model.language_model.layers.2.self_attn.q_proj", "a.b.c.d.1.2.q_proj", "xq_proj",
       "model.layers.1x.q_proj", "x.q_proj.v_proj", "decoder.0.block.1.h.3.wi", "enc.enc.0.q_proj", "enc.dec.0.q_proj"]
PATHS = {"llama": LLAMA, "bert": BERT, "gpt2": GPT2, "odd": ODD}

CONFIGS = [
    {"target_modules": ["q_proj", "v_proj"]},
    {"target_modules": ["self_attn.q_proj"]},
    {"target_modules": ["query", "nothing"]},
    {"target_modules": ["dense"]},
    {"target_modules": ["output.dense"]},
    {"target_modules": ["attention.output.dense", "bert.pooler.dense"]},
    {"target_modules": ["proj"]},
    {"target_modules": [".*_proj"]},
    {"target_modules": ["c_attn", "c_proj"]},
    {"target_modules": ["q_proj", "lm_head", "score", "classifier"]},
    {"target_modules": ["q_proj"], "exclude_modules": ["layers.1.self_attn.q_proj"]},
    {"target_modules": ["q_proj"], "exclude_modules": ["model.layers.1.self_attn.q_proj", "x"]},
    {"target_modules": ["q_proj", "v_proj"], "exclude_modules": r".*\.1\..*"},
    {"target_modules": ["q_proj", "v_proj"], "exclude_modules": r"layers\.1"},
    {"target_modules": ["q_proj", "v_proj"], "exclude_modules": []},
    {"target_modules": ["classifier", "dense", "query"], "modules_to_save": ["classifier"]},
    {"target_modules": ["dense", "query"], "modules_to_save": ["attention", "pooler"]},
    {"target_modules": ["q_proj", "w1"], "modules_to_save": ["experts", "lay.rs"]},
    {"target_modules": ["q_proj", "score"], "modules_to_save": ["sco"]},
    {"target_modules": ["q_proj", "v_proj"], "layers_to_transform": [0, 10]},
    {"target_modules": ["q_proj", "w1", "wi"], "layers_to_transform": 1},
    {"target_modules": ["q_proj", "w1"], "layers_to_transform": [0]},
    {"target_modules": ["q_proj"], "layers_to_transform": []},
    {"target_modules": ["q_proj", "w1"], "layers_to_transform": [0, 2], "layers_pattern": "layers"},
    {"target_modules": ["q_proj", "w1"], "layers_to_transform": [1], "layers_pattern": "experts"},
    {"target_modules": ["q_proj", "wi"], "layers_to_transform": [1, 2, 3], "layers_pattern": ["h", "blocks"]},
    {"target_modules": ["q_proj", "wi"], "layers_to_transform": [1], "layers_pattern": ["block", "h"]},
    {"target_modules": ["q_proj", "wi"], "layers_to_transform": [2], "layers_pattern": "block.|h"},
    {"target_modules": ["q_proj", "model.layers.1.self_attn.q_proj"], "layers_to_transform": [0]},
    {"target_modules": ["dense"], "layers_to_transform": [11], "layers_pattern": ["layer"]},
    {"target_modules": ["c_attn", "c_proj"], "layers_to_transform": [3], "layers_pattern": ["h"]},
    {"target_modules": r".*\.q_proj"},
    {"target_modules": r".*q_proj"},
    {"target_modules": r"q_proj"},
    {"target_modules": r".*\.(q_proj|v_proj)"},
    {"target_modules": r".*q_proj|.*v_proj"},
    {"target_modules": r"model\.layers\.\d+\.self_attn\.[qv]_proj"},
    {"target_modules": r"^(?!.*vision).*\.(?:q|k|v|o)_proj$"},
    {"target_modules": r"(?!.*lm_head).*_proj"},
    {"target_modules": r".*(?<!self_attn)\.[a-z]+_proj"},
    {"target_modules": r".*(?<=self_attn\.)[qv]_proj"},
    {"target_modules": r"(\w+)\.\1\..*"},
    {"target_modules": r"(?P<outer>\w+)\.(?P=outer)\..*"},
    {"target_modules": r"(?i).*\.Q_PROJ"},
    {"target_modules": r".*\.(?:query|key|value|dense)(?<!pooler\.dense)"},
    {"target_modules": r"model|model\.layers\.0\.self_attn\.q_proj"},
    {"target_modules": r"(?:.*?(?:language|text).*?(?:self_attn|attention|attn|mlp).*?(?:q_proj|k_proj).*?)|(?:\bmodel\.layers\.[\d]{1,}\.(?:self_attn|attention|attn)\.(?:(?:q_proj|k_proj)))"},
    {"target_modules": r"^transformer\.h\.\d+\.(attn\.c_attn|mlp\.(c_fc|c_proj))$"},
    {"target_modules": r".*\.c_(?:attn|fc)", "exclude_modules": r".*\.h\.3\..*"},
    {"target_modules": r".*\.(query|value)", "exclude_modules": ["layer.0.attention.self.query"], "modules_to_save": ["pooler"]},
]

PATTERNS = [
    ["q_proj", "v_proj"], ["self_attn.q_proj", "q_proj"], ["^model.layers.0.self_attn.q_proj", "q_proj"], ["^q_proj"],
    [r"model\.layers\.1\..*"], [r"layers\.(0|10)\..*", ".*_proj"], [".*"], ["proj"], [r".*\.h\.3\..*", "c_attn"],
    [r"(q|v)_proj|o_proj"], ["^layers.0.q_proj", "layers.0.q_proj"], [r"(?!vision).*q_proj"], [r"(?:\w+\.)*query"],
    [r"dense(?<!pooler.dense)", "pooler.dense"], ["layer.*dense"], [r"\d+\.attention\.self\.(query|key)"],
    [r"enc\.(\d)\.q_proj"], [r"(\w+)\.\3\.0\.q_proj"],
]


def selections():
    cases = []
    for fields in CONFIGS:
        config = LoraConfig(**fields)
        for name, paths in PATHS.items():
            matched = [i for i, path in enumerate(paths) if bool(check_target_module_exists(config, path))]
            cases.append({"config": fields, "paths": name, "matched": matched})
    return cases


def patterns():
    cases = []
    for keys in PATTERNS:
        for name, paths in PATHS.items():
            found = [get_pattern_key(keys, path) for path in paths]
            cases.append({"keys": keys, "paths": name, "found": [keys.index(k) if k in keys else None for k in found]})
    return cases


def tiny_models():
    small = dict(hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, vocab_size=11)
    bert = dict(small, max_position_embeddings=16)
    gpt2 = dict(n_embd=8, n_layer=2, n_head=2, vocab_size=11, n_positions=16)
    yield "bert", BertModel(BertConfig(**bert)), None
    yield "bert-cls", BertForSequenceClassification(BertConfig(**bert)), "SEQ_CLS"
    yield "roberta-cls", RobertaForSequenceClassification(RobertaConfig(**bert)), "SEQ_CLS"
    yield "llama", LlamaForCausalLM(LlamaConfig(**small)), "CAUSAL_LM"
    yield "llama-cls", LlamaForSequenceClassification(LlamaConfig(**small, pad_token_id=0)), "SEQ_CLS"
    yield "gpt2", GPT2LMHeadModel(GPT2Config(**gpt2)), "CAUSAL_LM"


def all_linear():
    cases = []
    for name, model, task in tiny_models():
        linears = [n for n, m in model.named_modules() if isinstance(m, (torch.nn.Linear, Conv1D))]
        config = types.SimpleNamespace(target_modules="All-Linear", task_type=task)
        chosen = _maybe_include_all_linear_layers(config, model).target_modules
        heads = ["lm_head"] if task == "CAUSAL_LM" else ["score", "classifier"] if task == "SEQ_CLS" else []
        cases.append({"model": name, "linears": linears, "heads": heads, "chosen": sorted(chosen)})
    return cases


def minimal():
    llama = [p for p in LLAMA if p.startswith("model")]
    dense = [p for p in BERT if p.endswith("dense") and "encoder" in p]
    examples = [
        (llama, ["lm_head", "score"]),
        ([p for p in llama if "self_attn" in p], [p for p in llama if "mlp" in p]),
        (dense, ["bert.pooler.dense", "classifier.dense"]),
        ([p for p in dense if "attention" in p], [p for p in BERT if "attention" not in p]),
        ([p for p in llama if ".1." in p], [p for p in llama if ".1." not in p]),
        (GPT2[:4], GPT2[4:]),
        (["a.q", "q"], ["a.v"]),
    ]
    cases = []
    for selected, others in examples:
        found = sorted(_find_minimal_target_modules(selected, others))
        cases.append({"selected": selected, "others": others, "suffixes": found})
    return cases


def saved():
    """Which modules PEFT wraps as trained copies: the observable effect of its `endswith` rule."""
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            for name in ("score", "my_score", "scores", "body"):
                setattr(self, name, torch.nn.Linear(2, 2))
            self.head = torch.nn.ModuleDict({"score": torch.nn.Linear(2, 2), "out_proj": torch.nn.Linear(2, 2)})

        def forward(self, x):
            return self.body(x)

    cases = []
    for names in (["score"], ["head.score"], ["my_score", "out_proj"], ["ore"]):
        paths = [n for n, m in Net().named_modules() if isinstance(m, torch.nn.Linear)]
        model = peft.get_peft_model(Net(), LoraConfig(target_modules=["body"], modules_to_save=names))
        wrapped = {n.removeprefix("base_model.model.") for n, m in model.named_modules()
                   if type(m).__name__ == "ModulesToSaveWrapper"}
        cases.append({"names": names, "paths": paths, "saved": [p for p in paths if p in wrapped]})
    return cases


def main():
    out = {"generator": "targets.py", "peft": peft.__version__, "paths": PATHS, "select": selections(),
           "pattern": patterns(), "all_linear": all_linear(), "minimal": minimal(), "saved": saved()}
    lines = [f'"{k}": ' + ("[\n" + ",\n".join(json.dumps(c) for c in v) + "\n]" if isinstance(v, list) else json.dumps(v))
             for k, v in out.items()]
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(path, len(out["select"]), "selections,", len(out["pattern"]), "pattern look-ups")


if __name__ == "__main__":
    main()

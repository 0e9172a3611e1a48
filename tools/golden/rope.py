"""Frequencies of rotary positions by transformers: crates/peft-models/tests/golden/rope.json

For each scaling, with texts shorter and longer than those of the training where that matters: the fields of config.json, the width of a head,
the length of the text, the frequencies and the factor of cosines and sines.

Regenerate from the repository root:  python3 tools/golden/rope.py
"""

from common import MODELS, versions, write_json

from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

D_HEAD = 16
BASE = {"max_position_embeddings": 64, "hidden_size": 32, "num_attention_heads": 2}
LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
SHORT, LONG = [1.0 + 0.1 * j for j in range(8)], [2.0 + 0.5 * j for j in range(8)]
# rope_type, theta, other fields, lengths
CASES = [
    ("linear", 500.0, {"factor": 4.0}, [10]),
    ("llama3", 500.0, LLAMA3, [10]),
    ("dynamic", 500.0, {"factor": 2.0}, [10, 64, 65, 200]),
    ("yarn", 10000.0, {"factor": 4.0, "original_max_position_embeddings": 16}, [10]),
    ("yarn", 500.0, {"factor": 40.0, "beta_fast": 16.0, "beta_slow": 2.0, "mscale": 1.0, "mscale_all_dim": 0.7}, [10]),
    ("yarn", 500.0, {"factor": 4.0, "attention_factor": 1.5, "truncate": False}, [10]),
    ("yarn", 1e6, {"factor": 4.0, "original_max_position_embeddings": 32768}, [10]),
    ("longrope", 500.0, {"short_factor": SHORT, "long_factor": LONG, "original_max_position_embeddings": 16}, [16, 17]),
    ("longrope", 500.0, {"short_factor": SHORT, "long_factor": LONG, "factor": 8.0}, [16, 65]),
]


def cases():
    for kind, theta, fields, lengths in CASES:
        given = {"rope_type": kind, "rope_theta": theta, **fields}
        for length in lengths:
            config = LlamaConfig(**BASE, rope_parameters=dict(given))
            frequencies, magnitude = ROPE_INIT_FUNCTIONS[kind](config, device=None, seq_len=length)
            yield {
                "config": {**BASE, "rope_parameters": given},
                "d_head": D_HEAD,
                "length": length,
                "frequencies": frequencies.tolist(),
                "magnitude": magnitude,
            }


write_json(MODELS / "rope.json", {"generator": "tools/golden/rope.py", **versions(), "cases": list(cases())})

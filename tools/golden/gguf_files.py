"""GGUF files as the Python package gguf writes them, its values of every block format, and its blocks of values.

usage: python tools/golden/gguf_files.py [LIBGGML]    (pip install gguf==0.19.0)

The blocks of K-quants are those of ggml's own functions, for the package has none: give the path of libggml-base of a llama.cpp, or of
ggml-quants.c compiled as a shared library without contraction (`gcc -O2 -ffp-contract=off -shared -fPIC -I include -I src src/ggml-quants.c`).
Without it, those of the committed file are kept.
"""

import ctypes
import os
import sys
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind

OUT = Path(__file__).resolve().parents[2] / "crates/peft-gguf/tests/golden"
READ = ["F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]
WRITTEN = ["F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"]
BY_GGML = ["Q4_K", "Q5_K", "Q6_K"]
# Where the half-precision numbers of a block stand: random bytes there would be NaN now and then.
HALVES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
}  # fmt: skip


def every_type():
    """One file with every type of value and tensors of several shapes."""
    writer = gguf.GGUFWriter(OUT / "every_type.gguf", "llama")
    writer.add_uint8("a.u8", 200)
    writer.add_int8("a.i8", -100)
    writer.add_uint16("a.u16", 60_000)
    writer.add_int16("a.i16", -30_000)
    writer.add_uint32("llama.block_count", 4_000_000_000)
    writer.add_int32("a.i32", -2_000_000_000)
    writer.add_uint64("a.u64", 2**64 - 1)
    writer.add_int64("a.i64", -(2**63))
    writer.add_float32("a.f32", 1e-5)
    writer.add_float64("a.f64", 1e-300)
    writer.add_bool("a.bool", True)
    writer.add_string("a.text", "caf\u00e9 \U0001f980")
    writer.add_array("tokenizer.ggml.tokens", ["<s>", "", "\u2581the", "\u00e9"])
    writer.add_array("tokenizer.ggml.scores", [0.0, -1.5, -2.25])
    writer.add_array("tokenizer.ggml.token_type", [3, 1, -1])
    writer.add_array("a.bools", [True, False, True])
    writer.add_tensor("token_embd.weight", np.arange(6, dtype=np.float32).reshape(2, 3))
    writer.add_tensor("blk.0.conv", np.arange(24, dtype=np.float16).reshape(2, 3, 4))
    writer.add_tensor("integers", np.array([1, -2, 3], dtype=np.int32))
    writer.add_tensor("doubles", np.array([[0.1]], dtype=np.float64))
    finish(writer)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def shards():
    """Three files of two tensors each, and the first of metadata alone."""
    writer = gguf.GGUFWriter(OUT / "split.gguf", "llama", split_max_tensors=2)
    writer.add_uint32("llama.block_count", 3)
    for number in range(5):
        writer.add_tensor(f"blk.{number}.weight", np.full((2, 4), number, dtype=np.float32))
    finish(writer)


def blocks(name, rng):
    """Two rows of random blocks."""
    values, size = gguf.GGML_QUANT_SIZES[Kind[name]]
    bytes_ = rng.integers(0, 256, (2, 256 // values, size), dtype=np.uint8)
    if values == 1:
        return bytes_.reshape(2, -1) & 0xBF  # no exponent of all ones: neither infinite nor NaN
    for at in HALVES[name]:
        half = rng.normal(0, 0.05, bytes_.shape[:2]).astype(np.float16)
        bytes_[:, :, at : at + 2] = half.view(np.uint8).reshape(*bytes_.shape[:2], 2)
    return bytes_.reshape(2, -1)


def inputs(rng):
    """Rows that a quantiser may meet: normal, with outliers, positive, zeros, tiny, one value alone."""
    rows = rng.normal(0, 0.02, (8, 256)).astype(np.float32)
    rows[1] *= rng.choice([1, 30], 256, p=[0.95, 0.05]).astype(np.float32)
    rows[2] = np.abs(rows[2])
    rows[3] = 0
    rows[4] *= np.float32(1e-6)
    rows[5] = np.float32(0.125)
    rows[6] = np.where(np.arange(256) % 32 == 7, rows[6], 0)
    rows[7] = rng.integers(-40, 40, 256)
    return rows


def by_ggml(library, name, rows):
    bytes_ = np.empty((len(rows), gguf.GGML_QUANT_SIZES[Kind[name]][1]), dtype=np.uint8)
    function = getattr(library, f"quantize_row_{name[0].lower() + name[1:]}_ref")
    function(rows.ctypes.data_as(ctypes.c_void_p), bytes_.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(rows.size))
    return bytes_


def formats():
    """For each format random blocks and their values, and the blocks of the same values."""
    rng = np.random.default_rng(7)
    path = OUT / "formats.gguf"
    kept = {tensor.name: tensor.data.copy() for tensor in gguf.GGUFReader(path).tensors} if path.exists() else {}
    writer = gguf.GGUFWriter(path, "golden")
    add = lambda name, bytes_, kind: writer.add_tensor(name, np.ascontiguousarray(bytes_), raw_dtype=Kind[kind])
    for kind in READ:
        random = blocks(kind, rng)
        add(f"blocks.{kind}", random, kind)
        values = gguf.quants.dequantize(random, Kind[kind])
        assert np.isfinite(values).all(), kind
        writer.add_tensor(f"values.{kind}", values)
    rows = inputs(rng)
    writer.add_tensor("input", rows)
    for kind in WRITTEN:
        # Subnormal scales divide by zero in the package too, which warns.
        add(f"made.{kind}", gguf.quants.quantize(rows, Kind[kind]).view(np.uint8), kind)
    for kind in BY_GGML:
        library = ctypes.CDLL(sys.argv[1], mode=os.RTLD_LAZY) if len(sys.argv) > 1 else None
        add(f"made.{kind}", by_ggml(library, kind, rows) if library else kept[f"made.{kind}"], kind)
    finish(writer)


OUT.mkdir(parents=True, exist_ok=True)
every_type()
shards()
formats()

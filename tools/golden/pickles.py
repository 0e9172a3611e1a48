"""Tensors in the three forms that torch.save has had: crates/peft-format/tests/golden/pickles/

FORM.bin holds a state dict of every dtype that adapters use, with views that share a storage; tensors.safetensors holds
the same values. unchecked.bin is zip.bin without checksums, as torch.save writes it on request. integers.bin holds a dtype that adapters do not use. The tar form, which no torch since 0.1.10 writes,
is put together from its description in torch/serialization.py (_legacy_load).

Regenerate from the repository root:  python3 tools/golden/pickles.py
"""

import io
import pickle
import struct
import tarfile
from collections import OrderedDict

import torch
from common import FORMAT
from safetensors.torch import save_file

OUT = FORMAT / "pickles"
PREFIX = "base_model.model.encoder.layer.0.attention.self."


def state_dict():
    torch.manual_seed(0)
    shared = torch.randn(4, 6)
    return OrderedDict(
        [
            (PREFIX + "query.lora_A.weight", torch.randn(2, 6)),
            (PREFIX + "query.lora_B.weight", torch.randn(5, 2).to(torch.bfloat16)),
            (PREFIX + "key.lora_A.weight", torch.randn(2, 6).to(torch.float16)),
            (PREFIX + "key.lora_B.weight", torch.randn(5, 2, dtype=torch.float64)),
            # A row range, a transposed matrix and a scalar of one storage.
            (PREFIX + "value.lora_A.weight", shared[1:3]),
            (PREFIX + "value.lora_B.weight", shared[:, 2:4].t()),
            ("base_model.model.classifier.scale", shared[3, 5]),
            ("base_model.model.classifier.nothing", torch.zeros(0, 3)),
        ]
    )


class TarPickler(pickle.Pickler):
    def persistent_id(self, obj):
        return str(obj.key) if isinstance(obj, Key) else None


class Key:
    def __init__(self, key):
        self.key = key


def described(numbers, name):
    """The pickle of (*numbers, torch.NAME)."""
    def item(value):
        if isinstance(value, int):
            return b"M" + struct.pack("<H", value)
        return b"U" + bytes([len(value)]) + value.encode()

    body = b"".join(map(item, numbers))
    return b"\x80\x02(" + body + b"ctorch\n" + name.encode() + b"\nt."


def tar_form(path):
    torch.manual_seed(1)
    tensors = {
        PREFIX + "query.lora_A.weight": torch.randn(2, 6),
        PREFIX + "query.lora_B.weight": torch.randn(5, 2, dtype=torch.float64),
    }
    kinds = {torch.float32: ("FloatStorage", "FloatTensor", "f"), torch.float64: ("DoubleStorage", "DoubleTensor", "d")}
    storages, table = io.BytesIO(), io.BytesIO()
    pickle.dump(len(tensors), storages, protocol=2)
    pickle.dump(len(tensors), table, protocol=2)
    saved = OrderedDict()
    for index, (name, tensor) in enumerate(tensors.items()):
        storage, kind, letter = kinds[tensor.dtype]
        values = tensor.flatten().tolist()
        storages.write(described([1000 + index, "cpu"], storage))
        storages.write(struct.pack(f"<q{len(values)}{letter}", len(values), *values))
        table.write(described([2000 + index, 1000 + index], kind))
        table.write(struct.pack("<i4x2q2qq", 2, *tensor.shape, tensor.shape[1], 1, 0))
        saved[name] = Key(2000 + index)
    pickle.dump([], storages, protocol=2)
    root = io.BytesIO()
    TarPickler(root, protocol=2).dump(saved)
    system = {"protocol_version": 1000, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 8}}
    with tarfile.open(path, "w") as archive:
        for name, content in [
            ("sys_info", pickle.dumps(system, protocol=2)),
            ("pickle", root.getvalue()),
            ("tensors", table.getvalue()),
            ("storages", storages.getvalue()),
        ]:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return tensors


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    tensors = state_dict()
    torch.save(tensors, OUT / "zip.bin")
    torch.serialization.set_crc32_options(False)
    torch.save(tensors, OUT / "unchecked.bin")
    torch.save(tensors, OUT / "legacy.bin", _use_new_zipfile_serialization=False)
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, OUT / "tensors.safetensors")
    torch.save({"position_ids": torch.arange(3), "lora_A": torch.ones(2)}, OUT / "integers.bin")
    of_tar = tar_form(OUT / "tar.bin")
    save_file(of_tar, OUT / "tar.safetensors")
    for form in ["zip", "legacy"]:
        read = torch.load(OUT / f"{form}.bin", weights_only=True)
        assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items()), form


if __name__ == "__main__":
    main()

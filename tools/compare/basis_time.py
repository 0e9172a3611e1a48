"""Time of the basis of benches/examples/pool_of_500.rs with numpy. Prints one JSON line.

    python3 tools/compare/basis_time.py FOLDER      # the folder that the example made

Per site and side: X X^T in float64 added up in blocks of adapters, its eigenvectors, the loadings of every adapter, one file each.
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

K, BLOCK = 32, 32


def main(root):
    started = time.perf_counter()
    folders = sorted(Path(root).glob("adapter-*"))
    files = [safe_open(folder / "adapter_model.safetensors", "numpy") for folder in folders]
    names = sorted(name for name in files[0].keys() if "lora_" in name)
    components, loadings = {}, [{} for _ in files]
    for name in names:
        columns = [file.get_tensor(name) for file in files]
        # alpha / r = 2 goes into B.
        columns = [x.T.astype(np.float64) if "lora_A" in name else 2.0 * x.astype(np.float64) for x in columns]
        gram = np.zeros((columns[0].shape[0],) * 2)
        for at in range(0, len(columns), BLOCK):
            block = np.concatenate(columns[at : at + BLOCK], axis=1)
            gram += block @ block.T
        values, vectors = np.linalg.eigh(gram)
        c = vectors[:, ::-1][:, :K].astype(np.float32).astype(np.float64)
        components[name] = np.ascontiguousarray(c.T.astype(np.float32))
        for own, x in zip(loadings, columns):
            own[name] = (c.T @ x).astype(np.float32)
    with tempfile.TemporaryDirectory() as out:
        save_file(components, f"{out}/components.safetensors")
        for number, own in enumerate(loadings):
            save_file(own, f"{out}/{number}.safetensors")
        seconds = time.perf_counter() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(json.dumps({"seconds": seconds, "peak_mb": memory, "adapters": len(files), "numpy": np.__version__}))


if __name__ == "__main__":
    main(sys.argv[1])

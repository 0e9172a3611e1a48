"""Prints what a device check measured: python3 table.py FOLDER

`NAME.ours.MODE.log` is what `peft bench --json` printed, `NAME.theirs.MODE.log` what `step_time.py` did.
"""

import json
import sys
from pathlib import Path


def read(path):
    """What a measurement printed; None where it ended before."""
    try:
        return json.loads(path.read_text())
    except ValueError:
        return None


def row(name, figures):
    step, forward, tokens, memory = figures
    cells = [f"{step * 1e3:9.1f}", f"{forward * 1e3:9.1f}", f"{tokens:10.0f}" if tokens else " " * 10, f"{memory:9.0f}" if memory else ""]
    print(f"{name:<44} {' '.join(cells)}")


def main():
    folder = Path(sys.argv[1])
    print(f"{'':<44} {'step ms':>9} {'fwd ms':>9} {'tokens/s':>10} {'MiB':>9}")
    for path in sorted([*folder.glob("*.ours.*.log"), *folder.glob("*.theirs.*.log")]):
        found = read(path)
        name = path.name.removesuffix(".log")
        if found is None:
            print(f"{name:<44} not measured, see {name}.err")
        elif isinstance(found["step"], dict):
            memory = found.get("device_memory_mib") or found.get("peak_memory_mib")
            row(name, (found["step"]["median"], found["forward"]["median"], found["tokens_per_second"], memory))
        else:
            row(name, (found["step"], found["forward"], found.get("tokens_per_second"), found["memory"]))


main()

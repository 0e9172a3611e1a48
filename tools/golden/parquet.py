"""Parquet files as pyarrow writes them (`pip install pyarrow`): the usual packings, lists of groups, dictionaries.

usage: python tools/golden/parquet.py
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

OUT = Path(__file__).parents[2] / "crates/peft-parquet/tests/golden"

OUT.mkdir(parents=True, exist_ok=True)
texts = ["a good film", "a dull film", None, "caf\u00e9"]
table = pa.table({"text": texts, "label": pa.array(["pos", "neg", "neg", "pos"], pa.large_string()), "score": [1.5, -2.0, 0.0, None]})
for packing in ("snappy", "gzip", "zstd", "none", "lz4"):
    pq.write_table(table, OUT / f"{packing}.parquet", compression=packing)
newer = {"version": "2.6", "data_page_version": "2.0", "compression": "snappy"}
pq.write_table(table.set_column(0, "text", pa.array(texts).dictionary_encode()), OUT / "newer.parquet", **newer)
turn = lambda role, content: {"role": role, "content": content}
chats = [[turn("user", "the film"), turn("assistant", "was good")], [turn("user", "was the film good"), turn("assistant", "the film was good")]]
pq.write_table(pa.table({"messages": chats}), OUT / "chats.parquet")

"""Bare loop: two processes, ten files each, results kept in memory, one Parquet file each. No resume.
The clean-run yardstick. Usage: tool_bare.py INPUT OUT STATE"""

import glob
import multiprocessing as mp
import sys

import work


def shard(w, inp, out):
    import pyarrow as pa
    import pyarrow.parquet as pq

    ids, embs = [], []
    for f in sorted(glob.glob(inp + "/*.parquet"))[w::2]:
        t = pq.read_table(f, columns=["id", "text"])
        i, x = t["id"].to_pylist(), t["text"].to_pylist()
        for s in range(0, len(i), work.BATCH):
            embs += work.embed_batch(i[s : s + work.BATCH], x[s : s + work.BATCH])
        ids += i
    pq.write_table(pa.table({"id": ids, "emb": embs}), f"{out}/part-{w}.parquet")


if __name__ == "__main__":
    inp, out, state = sys.argv[1:4]
    ps = [mp.get_context("spawn").Process(target=shard, args=(w, inp, out)) for w in range(2)]
    [p.start() for p in ps]
    [p.join() for p in ps]
    sys.exit(max(abs(p.exitcode) for p in ps))

"""Naive baseline: per worker a loop over batches, rows appended to a JSONL file, the batch position
written to a file every N batches (output first, then position); on start, continue at the position.
Two workers, ten input files each. Usage: tool_naive.py INPUT OUT STATE [N] [order: out-first|pos-first]"""

import glob
import json
import multiprocessing as mp
import os
import sys

import work


def batches(files):
    import pyarrow.parquet as pq

    for f in files:
        t = pq.read_table(f, columns=["id", "text"])
        i, x = t["id"].to_pylist(), t["text"].to_pylist()
        for s in range(0, len(i), work.BATCH):
            yield i[s : s + work.BATCH], x[s : s + work.BATCH]


def shard(w, inp, out, state, every, order):
    posfile = f"{state}/position-{w}"
    pos = int(open(posfile).read()) if os.path.exists(posfile) else 0
    with open(f"{out}/rows-{w}.jsonl", "a") as fh:
        for n, (ids, texts) in enumerate(batches(sorted(glob.glob(inp + "/*.parquet"))[w::2])):
            if n < pos:
                continue
            embs = work.embed_batch(ids, texts)
            if order == "pos-first" and (n + 1) % every == 0:
                open(posfile, "w").write(str(n + 1))
            for i, e in zip(ids, embs):
                fh.write(json.dumps({"id": i, "emb": e}) + "\n")
            if order == "out-first" and (n + 1) % every == 0:
                fh.flush()
                open(posfile, "w").write(str(n + 1))


if __name__ == "__main__":
    inp, out, state = sys.argv[1:4]
    every = int(sys.argv[4]) if len(sys.argv) > 4 else 10
    order = sys.argv[5] if len(sys.argv) > 5 else "out-first"
    ps = [mp.get_context("spawn").Process(target=shard, args=(w, inp, out, state, every, order)) for w in range(2)]
    [p.start() for p in ps]
    [p.join() for p in ps]
    sys.exit(max(abs(p.exitcode) for p in ps))

"""spotproof as one more tool of the audit. Usage: tool_spotproof.py INPUT OUT STATE (STATE stays empty: OUT is all)"""

import sys

import work

import spotproof as sp


@sp.batch_function(batch_rows=work.BATCH)
def embed(batch):
    return {"emb": work.embed_batch(batch["id"].tolist(), batch["text"].tolist())}


if __name__ == "__main__":
    source, out, _ = sys.argv[1:4]
    job = sp.Job(
        name="audit",
        root=out,
        input=sp.Input(source + "/*.parquet", carry=["id"]),
        function=embed,
        workers=2,
        commit=sp.Commit(seconds=5, rows=1000),
    )
    sp.run(job)

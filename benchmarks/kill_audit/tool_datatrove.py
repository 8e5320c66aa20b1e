"""datatrove LocalPipelineExecutor: 20 tasks (one input file each), 2 workers, skip_completed (default),
completions/ markers in logging_dir. Usage: tool_datatrove.py INPUT OUT STATE [parquet|jsonl]"""

import sys

import work
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.writers import JsonlWriter, ParquetWriter


class Embed(PipelineStep):
    name = "embed"
    type = "AUDIT"

    def run(self, data, rank=0, world_size=1):
        buf = []
        for doc in data:
            buf.append(doc)
            if len(buf) == work.BATCH:
                yield from self._flush(buf)
                buf = []
        if buf:
            yield from self._flush(buf)

    def _flush(self, buf):
        embs = work.embed_batch([d.id for d in buf], [d.text for d in buf])
        for d, e in zip(buf, embs):
            d.metadata["emb"] = e
            yield d


def row(self, doc):
    return {"id": doc.id, "emb": doc.metadata["emb"]}


if __name__ == "__main__":
    inp, out, state = sys.argv[1:4]
    fmt = sys.argv[4] if len(sys.argv) > 4 else "parquet"
    writer = ParquetWriter(out, adapter=row) if fmt == "parquet" else JsonlWriter(out, adapter=row)
    LocalPipelineExecutor(
        pipeline=[ParquetReader(inp, text_key="text", id_key="id"), Embed(), writer],
        tasks=20,
        workers=2,
        logging_dir=state,
    ).run()

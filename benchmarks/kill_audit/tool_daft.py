"""Daft on its Ray runner: read_parquet(checkpoint=CheckpointConfig) -> batch UDF -> write_deltalake(checkpoint=IdempotentCommit).
Usage: tool_daft.py INPUT OUT STATE [key] ; STATE and OUT are local paths (file://) or s3://"""

import os
import sys

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
import daft
import ray
import work
from daft import DataType, col

if __name__ == "__main__":
    inp, out, state = sys.argv[1:4]
    key = sys.argv[4] if len(sys.argv) > 4 else "audit-run"
    ray.init(
        address="local",
        num_cpus=4,
        object_store_memory=10**9,
        include_dashboard=False,
        _temp_dir=os.environ["AUDIT_RAYTMP"],
        log_to_driver=False,
    )
    daft.set_runner_ray()
    io = None
    if os.environ.get("AUDIT_S3"):
        from daft.io import IOConfig, S3Config

        ep, k, s = os.environ["AUDIT_S3"].split(",")
        io = IOConfig(
            s3=S3Config(endpoint_url="http://" + ep, key_id=k, access_key=s, use_ssl=False, region_name="us-east-1")
        )

    @daft.cls(max_concurrency=2, use_process=True)
    class Embed:
        def __init__(self):
            pass

        @daft.method.batch(return_dtype=DataType.string(), batch_size=work.BATCH)
        def embed(self, ids, texts):
            return work.embed_batch(ids.to_pylist(), texts.to_pylist())

    uri = state if "://" in state else "file://" + state
    store = daft.CheckpointStore(uri, io_config=io) if io else daft.CheckpointStore(uri)
    df = daft.read_parquet(inp + "/*.parquet", checkpoint=daft.CheckpointConfig(store=store, on="id"))
    df = df.with_column("emb", Embed().embed(col("id"), col("text"))).select("id", "emb")
    df.write_deltalake(
        out, mode="append", io_config=io, checkpoint=daft.IdempotentCommit(store=store, idempotence_key=key)
    )

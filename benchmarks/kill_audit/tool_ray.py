"""Ray Data: read_parquet -> map_batches (class, 2 actors) -> write_parquet, own local cluster.
Usage: tool_ray.py INPUT OUT STATE [ckpt|nockpt] [num_blocks (0 = default)] [max_errored_blocks (0 = default)]
OUT/STATE may be s3:// (AUDIT_S3=endpoint,key,secret)."""

import os
import sys

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
import ray
import work
from ray.data.checkpoint import CheckpointConfig


class Embed:
    def __call__(self, batch):
        import pyarrow as pa

        embs = work.embed_batch(batch["id"].to_pylist(), batch["text"].to_pylist())
        return pa.table({"id": batch["id"], "emb": pa.array(embs)})


if __name__ == "__main__":
    inp, out, state = sys.argv[1:4]
    mode = sys.argv[4] if len(sys.argv) > 4 else "ckpt"
    blocks = int(sys.argv[5]) if len(sys.argv) > 5 else 0
    errored = int(sys.argv[6]) if len(sys.argv) > 6 else 0
    ray.init(
        address="local",
        num_cpus=4,
        object_store_memory=10**9,
        include_dashboard=False,
        _temp_dir=os.environ["AUDIT_RAYTMP"],
        log_to_driver=False,
    )
    ctx = ray.data.DataContext.get_current()
    ctx.enable_progress_bars = False
    if blocks:
        ctx.use_datasource_v2 = (
            False  # V2 (the 2.60 default) packs these 20 small files into ONE block whatever override_num_blocks says
        )
    fs = None
    if os.environ.get("AUDIT_S3"):
        import pyarrow.fs

        ep, key, sec = os.environ["AUDIT_S3"].split(",")
        fs = pyarrow.fs.S3FileSystem(
            access_key=key, secret_key=sec, endpoint_override=ep, scheme="http", region="us-east-1"
        )
    if mode == "ckpt":
        ctx.checkpoint_config = CheckpointConfig(id_column="id", checkpoint_path=state, override_filesystem=fs)
    if errored:
        ctx.max_errored_blocks = errored
    ds = ray.data.read_parquet(inp, **({"override_num_blocks": blocks} if blocks else {}))
    ds = ds.map_batches(Embed, batch_size=work.BATCH, batch_format="pyarrow", concurrency=2, num_cpus=1)
    ds.write_parquet(out, **({"filesystem": fs} if fs else {}))
    ray.shutdown()

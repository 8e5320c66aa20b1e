"""A store kept in a bucket: S3 and what speaks S3, Google Cloud Storage, Azure Blob."""

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

import obstore

from spotproof.core.errors import (
    AlreadyExists,
    NotFound,
    OutcomeUnknown,
    Stale,
    StorageUnavailable,
)
from spotproof.storage.clients import Clients, open_clients
from spotproof.storage.path import check_path, check_prefix
from spotproof.storage.remote_errors import Foreign, read_error, write_error
from spotproof.storage.store import ObjectInfo, Tail

if TYPE_CHECKING:
    from collections.abc import Mapping

    from obstore import GetOptions, GetResult, PutMode
    from obstore.store import ObjectStore as Client

REQUEST_TIMEOUT = timedelta(seconds=300)
CONNECT_TIMEOUT = timedelta(seconds=10)


class ObjectStore:
    """Objects below `uri` (`s3://bucket/prefix`, `gs://`, `az://container/prefix`, `abfs://`).

    Credentials and endpoints come from the provider's usual environment variables, profiles and instance roles;
    `config` overrides single settings by obstore's names (`endpoint`, `region`, ...). `client` is an obstore
    store to use as it is configured, in which case `uri` is only its name for people.
    Raises `ConfigError` for a URI or setting that cannot be used, `StorageDenied` if there are no credentials.
    """

    def __init__(
        self,
        uri: str,
        *,
        config: "Mapping[str, str | bool] | None" = None,
        client: "Client | None" = None,
        request_timeout: timedelta = REQUEST_TIMEOUT,
        connect_timeout: timedelta = CONNECT_TIMEOUT,
    ) -> None:
        self._uri = uri.rstrip("/")
        self._clients: Clients = open_clients(self._uri, dict(config or {}), client, request_timeout, connect_timeout)

    @property
    def uri(self) -> str:
        """As given, without a closing slash."""
        return self._uri

    @property
    def is_local(self) -> bool:
        """False."""
        return False

    def create(self, path: str, body: bytes) -> None:
        """See `Store.create`: one conditional PUT of the whole body, whatever its size, sent once."""
        try:
            self._put(path, body, "create")  # The commit: readers see no object before, and the whole of it after.
        except Stale as error:
            raise AlreadyExists(f"{self._uri}/{path} exists: nothing was changed") from error

    def replace(self, path: str, body: bytes, etag: str | None) -> str:
        """See `Store.replace`. A conflict with a write under way is `Stale` too: read it again."""
        if etag is None:
            mode: PutMode = "create"
        else:
            mode = {"version": etag} if self._clients.by_version else {"e_tag": etag}
        try:
            return self._put(path, body, mode)  # The commit: readers see the old object before, the new one after.
        except (AlreadyExists, NotFound) as error:
            raise Stale(f"{self._uri}/{path} is no longer at the version given: read it again") from error

    def read(self, path: str) -> bytes:
        """See `Store.read`."""
        return self.read_with_etag(path)[0]

    def read_with_etag(self, path: str) -> tuple[bytes, str]:
        """See `Store.read_with_etag`."""
        try:
            found = self._get(path, None)
            return found.bytes().to_bytes(), self._etag(path, found.meta["e_tag"], found.meta["version"])
        except Foreign as error:
            raise read_error(error, f"{self._uri}/{path}", "reading") from error

    def read_tail(self, path: str, length: int) -> Tail:
        """See `Store.read_tail`: one ranged request, or two where a range from the end is not understood."""
        try:
            if length > 0 and self._clients.has_suffix_ranges:
                found = self._get(path, {"range": {"suffix": length}})
                return Tail(found.bytes().to_bytes(), found.meta["size"])
        except FileNotFoundError as error:
            raise NotFound(f"{self._uri}/{path} does not exist") from error
        except Foreign:
            # An empty object has no last byte: stores answer 416, or send a whole 200.
            pass
        return self._tail_by_size(path, length)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """See `Store.list`: in pages of 1,000, fetched as they are asked for."""
        plain = check_prefix(prefix)
        try:
            for page in obstore.list(self._clients.patient, prefix=plain or None, chunk_size=1000):
                for found in page:
                    etag = (found["version"] if self._clients.by_version else found["e_tag"]) or ""
                    yield ObjectInfo(found["path"], found["size"], etag, found["last_modified"].timestamp())
        except Foreign as error:
            raise read_error(error, f"{self._uri}/{plain}", "listing") from error

    def delete(self, path: str) -> None:
        """See `Store.delete`."""
        try:
            obstore.delete(self._clients.patient, check_path(path))
        except FileNotFoundError:
            return
        except Foreign as error:
            raise read_error(error, f"{self._uri}/{path}", "deleting") from error

    def _put(self, path: str, body: bytes, mode: "PutMode") -> str:
        client = self._clients.single_try
        try:
            done = obstore.put(client, check_path(path), body, mode=mode, use_multipart=False)
        except Foreign as error:
            raise write_error(error, f"{self._uri}/{path}") from error
        etag = done["version"] if self._clients.by_version else done["e_tag"]
        if mode != "create" and not etag:
            raise OutcomeUnknown(f"{self._uri}/{path}: the store did not say which version it stored: read it")
        return etag or ""

    def _get(self, path: str, options: "GetOptions | None") -> "GetResult":
        return obstore.get(self._clients.patient, check_path(path), options=options)

    def _tail_by_size(self, path: str, length: int) -> Tail:
        try:
            found = obstore.head(self._clients.patient, check_path(path))
            size = found["size"]
            start = max(0, size - length)
            if start >= size:
                return Tail(b"", size)
            options: GetOptions = {"range": (start, size), "if_match": found["e_tag"]}
            return Tail(self._get(path, options).bytes().to_bytes(), size)
        except Foreign as error:
            raise read_error(error, f"{self._uri}/{path}", "reading") from error

    def _etag(self, path: str, e_tag: str | None, version: str | None) -> str:
        etag = version if self._clients.by_version else e_tag
        if not etag:
            raise StorageUnavailable(f"{self._uri}/{path}: the store did not say which version this is")
        return etag

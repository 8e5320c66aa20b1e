"""The two obstore clients behind an object store: one that never tries again, one that is patient."""

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, HTTPStore, LocalStore, MemoryStore, S3Store

from spotproof.core.errors import ConfigError, StorageDenied

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig
    from obstore.store import ObjectStore as Client

# A library that sends a conditional PUT again reports its own success as "already exists".
NO_RETRIES: "RetryConfig" = {"max_retries": 0}
RETRIES: "RetryConfig" = {"max_retries": 8, "retry_timeout": timedelta(seconds=60)}
# boto3 keeps 10 minutes or more on the credentials it hands out, and obstore asks again 5 minutes before this ends.
CREDENTIALS_TTL = timedelta(minutes=10)


@dataclass(frozen=True)
class Clients:
    """`single_try` for conditional writes, `patient` for everything else, and what this kind of store lacks."""

    single_try: "Client"
    patient: "Client"
    by_version: bool
    has_suffix_ranges: bool


def open_clients(
    uri: str,
    config: dict[str, str | bool],
    client: "Client | None",
    request_timeout: timedelta,
    connect_timeout: timedelta,
) -> Clients:
    """Both clients for `uri`, or both made like `client`. Raises `ConfigError`, `StorageDenied`; asks nothing."""
    if client is not None:
        return _pair(_remade(client, NO_RETRIES), client)
    options: ClientConfig = {"timeout": request_timeout, "connect_timeout": connect_timeout}
    try:
        return _pair(_opened(uri, config, options, NO_RETRIES), _opened(uri, config, options, RETRIES))
    except (BaseError, ValueError, TypeError) as error:
        raise ConfigError(f"{uri}: this store cannot be opened ({error}): mend the URI or the settings") from error


def _pair(single_try: "Client", patient: "Client") -> Clients:
    is_azure = isinstance(patient, AzureStore)
    return Clients(single_try, patient, by_version=isinstance(patient, GCSStore), has_suffix_ranges=not is_azure)


def _remade(client: "Client", retries: "RetryConfig") -> "Client":
    """The same store with other retries; obstore has no such method."""
    if isinstance(client, LocalStore | HTTPStore):
        raise ConfigError(f"{client!r} cannot hold a root: it has no durable conditional writes; give a folder instead")
    if isinstance(client, MemoryStore):
        return client
    arguments: dict[str, Any] = {
        "prefix": client.prefix,
        "config": client.config,
        "client_options": client.client_options,
        "retry_config": retries,
    }
    if client.credential_provider is not None:
        arguments["credential_provider"] = client.credential_provider
    return type(client)(**arguments)


def _opened(uri: str, config: dict[str, Any], options: "ClientConfig", retries: "RetryConfig") -> "Client":
    scheme, bucket, prefix = _taken_apart(uri)
    shared: dict[str, Any] = {"client_options": options, "retry_config": retries}
    if scheme == "s3":
        return _opened_s3(bucket, prefix, config, shared)
    if scheme == "gs":
        return GCSStore(bucket, prefix=prefix, config=config or None, **shared)  # pyright: ignore[reportArgumentType]
    options["allow_http"] = _azure_is_plain_http(config)
    if scheme == "az" or "@" not in bucket:
        return AzureStore(bucket, prefix=prefix, config=config or None, **shared)  # pyright: ignore[reportArgumentType]
    return AzureStore.from_url(uri, config=config or None, **shared)  # pyright: ignore[reportArgumentType]


def _opened_s3(bucket: str, prefix: str | None, config: dict[str, Any], shared: dict[str, Any]) -> "Client":
    shared["client_options"]["allow_http"] = _s3_is_plain_http(config)
    provider = _boto3_credentials(config)
    if provider is not None:
        shared["credential_provider"] = provider
    return S3Store(bucket, prefix=prefix, config=config or None, **shared)  # pyright: ignore[reportArgumentType]


def _taken_apart(uri: str) -> tuple[str, str, str | None]:
    parts = urlsplit(uri)
    # Not urlsplit's path: a name may hold ? and #, and is not percent-encoded.
    rest = uri.partition("://")[2]
    bucket, _, prefix = rest.partition("/")
    if parts.scheme not in ("s3", "gs", "az", "abfs", "abfss") or not bucket:
        raise ConfigError(f"{uri!r} does not name a bucket: give s3://BUCKET/PREFIX, gs://... or az://CONTAINER/PREFIX")
    return parts.scheme, bucket, prefix.strip("/") or None


def _s3_is_plain_http(config: dict[str, Any]) -> bool:
    # Options given here take the place of obstore's own reading of AWS_ALLOW_HTTP, so it is read here.
    endpoint = config.get("aws_endpoint_url_s3") or config.get("endpoint")
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    endpoint = endpoint or next((os.environ[name] for name in names if os.environ.get(name)), "")
    return str(endpoint).startswith("http://") or _is_on("AWS_ALLOW_HTTP")


def _azure_is_plain_http(config: dict[str, Any]) -> bool:
    names = ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")
    endpoint = config.get("endpoint") or next((os.environ[name] for name in names if os.environ.get(name)), "")
    emulator = _is_on("AZURE_STORAGE_USE_EMULATOR") or bool(config.get("use_emulator"))
    return str(endpoint).startswith("http://") or emulator or _is_on("AZURE_ALLOW_HTTP")


def _is_on(name: str) -> bool:
    return os.environ.get(name, "").lower() in ("1", "true", "yes", "on")


def _boto3_credentials(config: dict[str, Any]) -> Any:
    """Refreshing credentials from profiles, SSO, web identity and instance roles; None where keys are given."""
    given = {"access_key_id", "aws_access_key_id", "skip_signature", "aws_skip_signature"}
    if given & config.keys() or os.environ.get("AWS_ACCESS_KEY_ID") or _is_on("AWS_SKIP_SIGNATURE"):
        return None
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError:
        return None
    try:
        return Boto3CredentialProvider(ttl=CREDENTIALS_TTL)
    except ValueError as error:
        raise StorageDenied(
            "no AWS credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, choose a profile by "
            "AWS_PROFILE, run on an instance with a role, or set AWS_SKIP_SIGNATURE=true for a public bucket"
        ) from error
    except Exception as error:  # botocore's own errors, known only where boto3 is installed
        raise StorageDenied(f"AWS credentials could not be read ({error}): mend the profile") from error

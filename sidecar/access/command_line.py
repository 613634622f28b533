"""scripts/token: makes and explains tokens, and handles API keys.

Standard output holds only what was asked for; notes and errors go to standard error.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import jwt

from sidecar.access.api_keys import ApiKeys
from sidecar.access.authenticator import build_authenticator
from sidecar.access.identity import SCOPES
from sidecar.access.signing_keys import FixedKey, signing_keys
from sidecar.errors import NotAuthenticated
from sidecar.settings import Settings, SettingsError, load_settings


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code: 0 done (or a valid token), 1 an invalid one, 2 wrong use."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(load_settings(), options))
    except SettingsError as exc:
        print(f"token: {exc}", file=sys.stderr)  # noqa: T201
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/token", description="Tokens and API keys.")
    commands = parser.add_subparsers(required=True)
    create = commands.add_parser("create", help="print a new JWT")
    create.add_argument("--subject", required=True, help="whom it is for")
    create.add_argument("--hours", type=_positive, default=1.0, help="how long it is valid")
    _add_scopes(create)
    create.set_defaults(run=_create)
    inspect = commands.add_parser("inspect", help="explain a JWT or an API key")
    inspect.add_argument("token", nargs="?", default="-", help="- or nothing: standard input")
    inspect.set_defaults(run=_inspect)
    keys = commands.add_parser("key", help="API keys").add_subparsers(required=True)
    new = keys.add_parser("create", help="print a new API key")
    new.add_argument("--name", required=True, help="whom it is for")
    new.add_argument("--days", type=_positive, help="how long it is valid (default: for ever)")
    _add_scopes(new)
    new.set_defaults(run=_create_key)
    keys.add_parser("list", help="all keys").set_defaults(run=_list_keys)
    revoke = keys.add_parser("revoke", help="end a key")
    revoke.add_argument("id", help="as `key list` shows it")
    revoke.set_defaults(run=_revoke_key)
    return parser


def _add_scopes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--scope", action="append", choices=SCOPES, default=[], help="may be given again"
    )


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def _create(settings: Settings, options: argparse.Namespace) -> int:
    keys = signing_keys(settings)
    if not isinstance(keys, FixedKey) or keys.algorithms != ("HS256",):
        raise SettingsError("only SIDECAR_JWT_SECRET can sign; ask your token's issuer for one")
    now = int(time.time())
    claims = {
        "sub": options.subject,
        "scope": " ".join(options.scope),
        "iat": now,
        "exp": now + round(options.hours * 3600),
    }
    if settings.jwt_audience:
        claims["aud"] = settings.jwt_audience
    if settings.jwt_issuer:
        claims["iss"] = settings.jwt_issuer
    print(jwt.encode(claims, keys.key, algorithm="HS256"))  # noqa: T201
    return 0


def _inspect(settings: Settings, options: argparse.Namespace) -> int:
    token = sys.stdin.read().strip() if options.token == "-" else options.token  # noqa: S105
    try:
        identity = asyncio.run(build_authenticator(settings).identify(token, None, None))
    except NotAuthenticated as exc:
        print(f"invalid: {exc.message}")  # noqa: T201
        return 1
    if identity is None:
        raise SettingsError("no token was given")
    lines = {
        "valid": identity.kind.replace("_", " "),
        "subject": identity.subject,
        "scopes": " ".join(sorted(identity.scopes)) or "none",
        "expires": _time(identity.expires_at),
    }
    print("\n".join(f"{name}: {value}" for name, value in lines.items()))  # noqa: T201
    return 0


def _create_key(settings: Settings, options: argparse.Namespace) -> int:
    key, record = ApiKeys(settings.api_keys).create(options.name, options.scope, options.days)
    print(f"key {record.id}; it is shown only now:", file=sys.stderr)  # noqa: T201
    print(key)  # noqa: T201
    return 0


def _list_keys(settings: Settings, _: argparse.Namespace) -> int:
    row = "{:10} {:20} {:14} {:22} {:22} {}"
    print(row.format("id", "name", "scopes", "created", "expires", "state"))  # noqa: T201
    for key in ApiKeys(settings.api_keys).records():
        cells = (key.id, key.name, " ".join(key.scopes) or "none", _time(key.created_at))
        print(row.format(*cells, _time(key.expires_at), key.state(time.time())))  # noqa: T201
    return 0


def _revoke_key(settings: Settings, options: argparse.Namespace) -> int:
    if not ApiKeys(settings.api_keys).revoke(options.id):
        raise SettingsError(f"no key has the id {options.id}")
    return 0


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")

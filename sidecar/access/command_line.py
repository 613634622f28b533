"""scripts/token: makes and explains tokens, and manages API keys.

Standard output holds only what was asked for; notes and errors go to standard error.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from typing import Any, TextIO

import jwt

from sidecar.access.api_keys import ApiKeys
from sidecar.access.authenticator import build_authenticator
from sidecar.access.explanation import explain_jwt, explain_key, moment, printable
from sidecar.access.identity import SCOPES
from sidecar.access.signing_keys import signing_keys, signing_secret
from sidecar.errors import NotAuthenticated, Unavailable
from sidecar.settings import Settings, SettingsError, load_settings

LONGEST = 100_000  # hours or days
TABLE_ROW = "{:10} {:20} {:12} {:21} {:21} {}"


class WrongUse(Exception):
    """What was asked for cannot be done; the message says why."""


def main(arguments: Sequence[str]) -> int:
    """Return the exit code: 0 done (or a valid token), 1 an invalid one, 2 wrong use."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(load_settings(), options))
    except (SettingsError, WrongUse, OSError) as exc:
        _say(f"token: {exc}", sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/token", description="Tokens and API keys.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    create = commands.add_parser("create", help="print a new JWT")
    create.add_argument("--subject", required=True, type=_name, help="whom it is for")
    create.add_argument("--hours", type=_duration, default=1.0, help="how long it is valid (1)")
    _add_scopes(create)
    create.set_defaults(run=_create)
    inspect = commands.add_parser("inspect", help="explain a JWT or an API key")
    inspect.add_argument("token", nargs="?", default="-", help="default: read from standard input")
    inspect.set_defaults(run=_inspect)
    key = commands.add_parser("key", help="API keys")
    keys = key.add_subparsers(required=True, metavar="COMMAND")
    new = keys.add_parser("create", help="print a new API key")
    new.add_argument("--name", required=True, type=_name, help="whom it is for")
    new.add_argument("--days", type=_duration, help="how long it is valid (forever)")
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


def _name(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise argparse.ArgumentTypeError("must be a name on one line")
    return text.strip()


def _duration(text: str) -> float:
    rule = f"must be a number above 0 and at most {LONGEST}"
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(rule) from None
    if not 0 < value <= LONGEST:
        raise argparse.ArgumentTypeError(rule)
    return value


def _create(settings: Settings, options: argparse.Namespace) -> int:
    signing_keys(settings)  # refuses a secret that the server would refuse
    secret = signing_secret(settings)
    if secret is None:
        raise WrongUse(
            "only SIDECAR_JWT_SECRET can sign, and it is not set; a public key or a JWKS only "
            "checks: ask the issuer for a token, or make an API key with scripts/token key create"
        )
    now = int(time.time())
    claims: dict[str, Any] = {
        "sub": options.subject,
        "scope": " ".join(sorted(set(options.scope))),
        "iat": now,
        "exp": now + round(options.hours * 3600),
    }
    if settings.jwt_audience is not None:
        claims["aud"] = settings.jwt_audience
    if settings.jwt_issuer is not None:
        claims["iss"] = settings.jwt_issuer
    _say(jwt.encode(claims, secret, algorithm="HS256"))
    return 0


def _inspect(settings: Settings, options: argparse.Namespace) -> int:
    from_stdin = options.token == "-"  # noqa: S105 - the customary name of standard input
    given = sys.stdin.buffer.read().decode(errors="replace") if from_stdin else options.token
    token = given.strip()
    if not token:
        raise WrongUse("no token was given")
    try:
        identity = asyncio.run(build_authenticator(settings).identify_token(token))
    except NotAuthenticated as exc:
        _say(f"invalid: {exc.message}")
        _say_all(explain_jwt(token))
        return 1
    except Unavailable as exc:
        raise WrongUse(exc.message) from exc
    _say(f"valid: {identity.kind.replace('_', ' ')}")
    record = ApiKeys(settings.api_keys).find(token)
    _say_all(explain_jwt(token) if record is None else explain_key(record))
    return 0


def _create_key(settings: Settings, options: argparse.Namespace) -> int:
    scopes = sorted(set(options.scope))
    key, record = ApiKeys(settings.api_keys).create(options.name, scopes, options.days)
    if not scopes:
        _say("token: without --scope it opens no route that needs a scope", sys.stderr)
    if options.days is None:
        _say("token: without --days it never expires; `key revoke` ends it", sys.stderr)
    _say(f"token: this is key {record.id}; it is shown only now", sys.stderr)
    _say(key)
    return 0


def _list_keys(settings: Settings, _: argparse.Namespace) -> int:
    _say(TABLE_ROW.format("id", "name", "scopes", "created", "expires", "state"))
    for key in ApiKeys(settings.api_keys).records():
        scopes = " ".join(key.scopes) or "none"
        cells = (key.id, key.name, scopes, moment(key.created_at), moment(key.expires_at))
        _say(TABLE_ROW.format(*map(printable, cells), key.state(time.time())))
    return 0


def _revoke_key(settings: Settings, options: argparse.Namespace) -> int:
    if not ApiKeys(settings.api_keys).revoke(options.id):
        raise WrongUse("no key has that id; `key list` shows them")
    _say(f"token: key {options.id} is revoked", sys.stderr)
    return 0


def _say_all(lines: dict[str, str]) -> None:
    for name, text in lines.items():
        _say(f"{name}: {text}")


def _say(text: str, to: TextIO | None = None) -> None:
    print(text, file=to or sys.stdout)

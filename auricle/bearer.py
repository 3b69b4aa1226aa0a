"""A bearer token at the door of a server: read from a file or the environment, compared in constant time, and never shown.

The token is no setting: settings are written into run folders, MLflow and dashboards. Where it comes from is one.
"""

import hashlib
import hmac
import os
import stat
from pathlib import Path

from auricle.errors import ConfigError

TOKEN_VARIABLE = "AURICLE_TOKEN"
SHORTEST = 32
HOW = f"make one: (umask 077; openssl rand -hex 32 > FILE), or put one of at least {SHORTEST} characters into ${TOKEN_VARIABLE}"


class Bearer:
    """Knows whether a request may come in. Keeps the token's hash alone, and shows nothing of it."""

    def __init__(self, token: str, *, source: str) -> None:
        """Raises ConfigError, without the token, where it is too short to be a secret or could not stand in a header."""
        if len(token) < SHORTEST or not token.isascii() or not token.isprintable() or " " in token:
            raise ConfigError(
                f"{source}: a token has at least {SHORTEST} printable ASCII characters without spaces; this has {len(token)}. Do {HOW}"
            )
        self._digest = _digest(f"Bearer {token}".encode())

    def allows(self, authorization: bytes | str | None) -> bool:
        """Whether the `Authorization` header is `Bearer TOKEN`. Takes as long for any wrong one."""
        header = authorization.encode("utf-8", "replace") if isinstance(authorization, str) else authorization or b""
        # Hashes have one length: how far two of them agree tells nothing of the token.
        return hmac.compare_digest(_digest(header), self._digest)

    def __repr__(self) -> str:
        return "Bearer(...)"

    def __reduce__(self) -> tuple:
        raise TypeError("a Bearer is not sent to other processes; let each read the token itself")


def read_bearer(path: Path | None) -> Bearer:
    """From $AURICLE_TOKEN where it is set, else from the file. Raises ConfigError where there is none, or others can read it."""
    if token := os.environ.get(TOKEN_VARIABLE, ""):
        return Bearer(token.strip(), source=f"${TOKEN_VARIABLE}")
    if path is None:
        raise ConfigError(f"no token: {HOW}")
    path = path.expanduser()
    try:
        mode = path.stat().st_mode
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: no token can be read there ({type(error).__name__}); {HOW}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"{path}: others on this machine may read the token (mode {stat.S_IMODE(mode):o}); chmod 600 {path}")
    return Bearer(token, source=str(path))


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()

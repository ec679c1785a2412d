"""Who sits before the chat widget, signed so that the widget can say it again with every request.

A token names one visitor of one channel account. It is no proof of a person unless the customer's own site vouched for
them: the site computes `identity_proof` on its server, with a secret the browser never sees. What a visitor types about
themselves is a hint.
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from channels.adapter import ChannelError
from domain.identity.addresses import SITE_USER_PREFIX

_ALGORITHM: Final = "HS256"
_SHORTEST_SECRET: Final = 32  # bytes; RFC 7518, section 3.2, asks for a key as long as the hash
_LONGEST_TOKEN: Final = 4_096


class VisitorTokenRefused(ChannelError):  # noqa: N818 - says what happened
    """The token is not ours, not for this account, or no longer valid."""


class IdentityProofRefused(ChannelError):  # noqa: N818 - says what happened
    """The site's proof does not fit the user it is said to be for."""


@dataclass(frozen=True, slots=True)
class VerifiedIdentity:
    """A user the customer's own site vouches for; the e-mail address only if the site's proof covers it."""

    user_id: str
    email: str | None = None


@dataclass(frozen=True, slots=True)
class Visitor:
    visitor_id: str
    account: str
    identified_as: VerifiedIdentity | None
    expires: datetime


def issue_visitor_token(
    secret: bytes, visitor_id: str, account: str, identified_as: VerifiedIdentity | None, expires: datetime
) -> str:
    """A signed token (JWS, HS256) for one visitor of one account."""
    if visitor_id.startswith(SITE_USER_PREFIX):
        raise ValueError("a visitor's id must not look like that of a user the site vouches for")
    claims: dict[str, str | int] = {"sub": visitor_id, "aud": _audience(account), "exp": int(expires.timestamp())}
    if identified_as is not None:
        claims["user_id"] = identified_as.user_id
        if identified_as.email is not None:
            claims["email"] = identified_as.email
    return jwt.encode({"alg": _ALGORITHM}, claims, _key(secret), algorithms=[_ALGORITHM])


def read_visitor_token(secret: bytes, token: str, account: str, now: datetime) -> Visitor:
    """The visitor a token names; raises `VisitorTokenRefused`."""
    if len(token) > _LONGEST_TOKEN:
        raise VisitorTokenRefused("too long")
    registry = jwt.JWTClaimsRegistry(
        now=int(now.timestamp()),
        aud={"essential": True, "value": _audience(account)},
        exp={"essential": True},
        sub={"essential": True},
    )
    try:
        claims = jwt.decode(token, _key(secret), algorithms=[_ALGORITHM]).claims
        registry.validate(claims)
        expires = datetime.fromtimestamp(int(claims["exp"]), UTC)
    except (JoseError, ValueError, OverflowError) as error:
        raise VisitorTokenRefused(type(error).__name__) from error
    user_id, email = claims.get("user_id"), claims.get("email")
    identity = VerifiedIdentity(str(user_id), None if email is None else str(email)) if user_id is not None else None
    return Visitor(str(claims["sub"]), account, identity, expires)


def identity_proof(identity_secret: bytes, user_id: str, email: str | None = None) -> str:
    """What the customer's site computes: hex HMAC-SHA256 of the user id, or of user id, newline, e-mail address."""
    signed = user_id if email is None else f"{user_id}\n{email}"
    return hmac.new(identity_secret, signed.encode(), hashlib.sha256).hexdigest()


def proven_identity(identity_secret: bytes, user_id: str, email: str | None, proof: str) -> VerifiedIdentity:
    """The identity a site's proof is for; raises `IdentityProofRefused`.

    A proof of the user id alone says nothing of the e-mail address, which is then left out.
    """
    if not identity_secret:
        raise IdentityProofRefused("the account has no identity secret")
    if not user_id or "\n" in user_id:
        raise IdentityProofRefused("no usable user id")
    given = proof.strip().lower().encode("utf-8", "replace")
    if email is not None and hmac.compare_digest(identity_proof(identity_secret, user_id, email).encode(), given):
        return VerifiedIdentity(user_id, email)
    if hmac.compare_digest(identity_proof(identity_secret, user_id).encode(), given):
        return VerifiedIdentity(user_id)
    raise IdentityProofRefused("the proof does not fit")


def _audience(account: str) -> str:
    return f"baton:web_chat:{account}"


def _key(secret: bytes) -> OctKey:
    if len(secret) < _SHORTEST_SECRET:
        raise ValueError(f"the secret of visitor tokens needs at least {_SHORTEST_SECRET} bytes")
    return OctKey.import_key(secret)

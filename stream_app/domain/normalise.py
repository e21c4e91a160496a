"""One raw identifier value -> its comparable form, or the reason why it doesn't identify anybody.

Rules: design/IDENTITY, "Keeping it sane". Nothing here checks that an address or a number exists.
"""

from __future__ import annotations

import math
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

import phonenumbers

from stream_app.domain.hashing import is_hash

if TYPE_CHECKING:
    from stream_app.domain.hashing import Hashes
    from stream_app.domain.policy import IdentityPolicy, Namespace

MAX_BYTES = 512
"""Longest value that identifies, in UTF-8 bytes."""


class Rejection(StrEnum):
    """Why a value isn't used as an identifier; the event goes on with the rest."""

    BLOCKED = "blocked"
    INVALID = "invalid"
    TOO_LONG = "too_long"
    TOO_MANY = "too_many"
    OTHER_KEY = "other_key"


def hashed(raw: object, namespace: Namespace, policy: IdentityPolicy, hashes: Hashes) -> str | Rejection:
    """Return the hash of a raw value's comparable text, or why there is none.

    What is a hash already stays as it is. One that was made under another key stands for nobody here: hashing it
    again would make a stranger of somebody, and tell no one.
    """
    if isinstance(raw, str) and is_hash(text := raw.strip()):
        return text if hashes.made(text) else Rejection.OTHER_KEY
    value = normalised(raw, namespace, policy)
    return value if isinstance(value, Rejection) else hashes.of(namespace.name, value)


def normalised(raw: object, namespace: Namespace, policy: IdentityPolicy) -> str | Rejection:
    """Return the comparable text of a raw value, or why there is none."""
    text = _text(raw)
    if text is None:
        return Rejection.INVALID
    text = text.strip()
    if len(text.encode()) > MAX_BYTES:
        return Rejection.TOO_LONG
    if _blocked(text, namespace, policy):
        return Rejection.BLOCKED
    value = _shaped(text, namespace, policy.default_region)
    if value is None or not _checked(value, namespace):
        return Rejection.INVALID
    return value if value == text else _reshaped(value, namespace, policy)


def _reshaped(value: str, namespace: Namespace, policy: IdentityPolicy) -> str | Rejection:
    """Hold what a text has become to what was asked of the text: it may be longer in lower case, and be blocked."""
    if len(value.encode()) > MAX_BYTES:
        return Rejection.TOO_LONG
    return Rejection.BLOCKED if _blocked(value, namespace, policy) else value


def _text(raw: object) -> str | None:
    """Return text as it is, and numbers as decimal text without exponent; None for anything else."""
    if isinstance(raw, str):
        # A lone surrogate, which JSON can spell, is no character: UTF-8 can't write it.
        return raw if raw.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in raw) else None
    if isinstance(raw, bool):
        return str(raw).lower()
    if isinstance(raw, int):
        # Beyond 64 bits no producer's format has integers; and str() of a huge one takes quadratic time.
        return str(raw) if raw.bit_length() <= 64 else None  # noqa: PLR2004
    if isinstance(raw, float) and math.isfinite(raw):
        return str(int(raw)) if raw.is_integer() else format(Decimal(repr(raw)), "f")
    return None


def _blocked(text: str, namespace: Namespace, policy: IdentityPolicy) -> bool:
    folded = text.casefold()
    return any(pattern.fullmatch(folded) for pattern in policy.blocked + namespace.blocked)


def _shaped(text: str, namespace: Namespace, region: str | None) -> str | None:
    if namespace.normalise == "email":
        return _email(text, fold_dots=namespace.fold_gmail_dots)
    if namespace.normalise == "phone":
        return _phone(text, region)
    return text


def _email(text: str, *, fold_dots: bool) -> str | None:
    local, _, domain = text.lower().partition("@")
    if not local.strip() or not domain.strip() or "@" in domain:
        return None
    if fold_dots and domain in ("gmail.com", "googlemail.com"):
        # ". a" is " a" by now, and would be another one when it is read again.
        local = local.replace(".", "").strip()
    return f"{local}@{domain}" if local else None


def _phone(text: str, region: str | None) -> str | None:
    """Return E.164, for numbers of a possible length (a real one may be newer than any table)."""
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _checked(value: str, namespace: Namespace) -> bool:
    if namespace.pattern is not None and not namespace.pattern.fullmatch(value):
        return False
    return namespace.check_digit == "none" or _luhn(value)


def _luhn(value: str) -> bool:
    """Check the last digit by ISO/IEC 7812-1, annex B; what isn't a digit is passed over."""
    digits = [int(sign) for sign in value if sign in "0123456789"]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return len(digits) > 1 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0

"""Ed25519 signatures, verified (RFC 8032, 5.1.7): for the fleet's configuration, without a library the agent lacks.

Verifying handles nothing secret, so it need not be constant in time; signing is the collector's, by `cryptography`.
About 10 ms a signature, a few times a year. OpenSSL 1.1.1's command line can't do it, and old Debians have that.
"""

from __future__ import annotations

import hashlib

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)

#: a point in extended coordinates: x = X/Z, y = Y/Z, T = XY/Z
Point = tuple[int, int, int, int]


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature of the message is that of the key. Never raises, whatever the bytes."""
    if len(public) != 32 or len(signature) != 64:
        return False
    key, r = _decoded(public), _decoded(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if key is None or r is None or s >= _L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % _L
    return _same(_times(s, _BASE), _sum(r, _times(h, key)))


def _decoded(data: bytes) -> Point | None:
    """The point of a 32-byte string (5.1.3); None when there is none."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= _P:
        return None
    x2 = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    if x2 == 0:
        return None if sign else (0, y, 1, 0)
    x = pow(x2, (_P + 3) // 8, _P)
    if (x * x - x2) % _P:
        x = x * _ROOT % _P
    if (x * x - x2) % _P:
        return None
    if x & 1 != sign:
        x = _P - x
    return (x, y, 1, x * y % _P)


def _sum(p: Point, q: Point) -> Point:
    """5.1.4."""
    a = (p[1] - p[0]) * (q[1] - q[0]) % _P
    b = (p[1] + p[0]) * (q[1] + q[0]) % _P
    c, d = 2 * p[3] * q[3] * _D % _P, 2 * p[2] * q[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _times(factor: int, point: Point) -> Point:
    result: Point = (0, 1, 1, 0)
    while factor:
        if factor & 1:
            result = _sum(result, point)
        point = _sum(point, point)
        factor >>= 1
    return result


def _same(p: Point, q: Point) -> bool:
    return (p[0] * q[2] - q[0] * p[2]) % _P == 0 and (p[1] * q[2] - q[1] * p[2]) % _P == 0


def _base() -> Point:
    found = _decoded((4 * pow(5, _P - 2, _P) % _P).to_bytes(32, "little"))
    if found is None:
        raise AssertionError("RFC 8032 names a point")
    return found


_BASE = _base()

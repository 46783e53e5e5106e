"""What the demo's trainer believes of a delivery."""

import base64
import hashlib
import hmac

import pytest

from leadsman.demo.trainer import OLDEST, BadDeliveryError, signing_key, verify

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes, yes").decode()
NOW = 1_800_000_000.0
BODY = b'{"type": "alert.firing"}'


def _headers(body: bytes = BODY, *, at: float = NOW, secret: str = SECRET) -> dict[str, str]:
    signed = f"msg_1.{int(at)}.".encode() + body
    mac = hmac.new(signing_key(secret), signed, hashlib.sha256).digest()
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(at)),
        "webhook-signature": "v1,b3RoZXI= v1," + base64.b64encode(mac).decode(),
    }


def test_a_signed_delivery_is_believed_also_among_other_signatures() -> None:
    assert verify(signing_key(SECRET), _headers(), BODY, now=NOW) == "msg_1"


def test_another_body_another_secret_and_another_id_are_not() -> None:
    other = "whsec_" + base64.b64encode(b"another secret").decode()
    forged = (
        (_headers(), BODY + b" "),
        (_headers(secret=other), BODY),
        (_headers() | {"webhook-id": "msg_2"}, BODY),
    )
    for headers, body in forged:
        with pytest.raises(BadDeliveryError, match="not made with our secret"):
            verify(signing_key(SECRET), headers, body, now=NOW)


def test_an_old_delivery_is_refused_as_a_replay() -> None:
    with pytest.raises(BadDeliveryError, match="old"):
        verify(signing_key(SECRET), _headers(at=NOW - OLDEST - 1), BODY, now=NOW)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_delivery_without_a_header_is_refused(name: str) -> None:
    headers = {key: value for key, value in _headers().items() if key != name}
    with pytest.raises(BadDeliveryError, match="no usable header"):
        verify(signing_key(SECRET), headers, BODY, now=NOW)

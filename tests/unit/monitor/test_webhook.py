"""Signatures and pauses."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.channels.webhook import LONGEST_PAUSE, is_public, new_secret, pause, signature


def test_the_signature_is_that_of_the_standards_own_example() -> None:
    # The example in the specification of Standard Webhooks.
    assert (
        signature(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1614265330,
            b'{"test": 2432232314}',
        )
        == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


def test_no_two_secrets_are_alike() -> None:
    assert new_secret() != new_secret()


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_pauses_grow_to_a_limit_and_never_vanish(attempts: int, uniform: float) -> None:
    first = timedelta(seconds=1)
    now = pause(attempts, first, uniform)
    assert first / 2 <= now <= LONGEST_PAUSE
    assert pause(attempts + 1, first, uniform) >= now


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "fe80::1%eth0",
        "fd00::1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
    ],
)
def test_an_inside_address_is_known_however_it_is_wrapped(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111", "::ffff:93.184.216.34"])
def test_a_public_address_is_allowed(address: str) -> None:
    assert is_public(address)

"""Signatures and pauses."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from monitor.webhook import LONGEST_PAUSE, new_secret, pause, signature


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

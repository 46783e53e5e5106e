from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from serving.batch import Answer, Outcome
from serving.cache import OVERHEAD, AnswerCache, CacheLimits

BLOCKS = st.binary(max_size=3)
SIZE = 5 * OVERHEAD
AGE = 10.0


class CacheMachine(RuleBasedStateMachine):
    """A cache against a plain table of everything that was ever put."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = AnswerCache(CacheLimits(SIZE, AGE))
        self.put_at: dict[bytes, tuple[float, bytes]] = {}
        self.now = 0.0

    @rule(block=BLOCKS, output=st.binary(max_size=2 * OVERHEAD), scores=st.none() | BLOCKS)
    def put(self, block: bytes, output: bytes, scores: bytes | None) -> None:
        self.cache.put(block, Answer(Outcome.ANSWERED, output, scores), self.now)
        self.put_at[block] = (self.now, output)

    @rule(block=BLOCKS)
    def what_is_given_is_what_was_put_last_and_young(self, block: bytes) -> None:
        kept = self.cache.get(block, self.now)
        if kept is not None:
            at, output = self.put_at[block]
            assert kept.cached
            assert kept.output == output
            assert self.now - at < AGE

    @rule(block=BLOCKS, output=st.binary(max_size=20))
    def what_was_just_put_is_there(self, block: bytes, output: bytes) -> None:
        self.put(block, output, None)
        assert self.cache.get(block, self.now) is not None

    @rule(seconds=st.floats(0, 2 * AGE))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def purge(self) -> None:
        self.cache.purge()
        assert all(self.cache.get(block, self.now) is None for block in self.put_at)

    @invariant()
    def never_larger_than_its_limit(self) -> None:
        assert 0 <= self.cache.size <= SIZE
        assert (self.cache.size == 0) == (len(self.cache) == 0)


TestCacheMachine = CacheMachine.TestCase


class Colliding(bytes):
    """Blocks whose hashes are all equal."""

    def __hash__(self) -> int:
        return 1


@given(st.sets(st.binary(max_size=8), min_size=2, max_size=10))
def test_rows_of_equal_hash_never_share_an_answer(blocks: set[bytes]) -> None:
    cache = AnswerCache(CacheLimits(1_000_000, AGE))
    for block in blocks:
        cache.put(Colliding(block), Answer(Outcome.ANSWERED, block), 0.0)
    for block in blocks:
        kept = cache.get(Colliding(block), 0.0)
        assert kept is not None
        assert kept.output == block


def test_what_was_not_used_for_longest_goes_first() -> None:
    cache = AnswerCache(CacheLimits(3 * (OVERHEAD + 10), AGE))
    for block in (b"a", b"b", b"c"):
        cache.put(block, Answer(Outcome.ANSWERED, b"1"), 0.0)
    assert cache.get(b"a", 0.0) is not None
    cache.put(b"d", Answer(Outcome.ANSWERED, b"1"), 0.0)
    assert cache.get(b"b", 0.0) is None
    assert all(cache.get(block, 0.0) is not None for block in (b"a", b"c", b"d"))


def test_an_answer_larger_than_the_whole_cache_is_not_kept_and_drives_nothing_out() -> None:
    cache = AnswerCache(CacheLimits(OVERHEAD + 10, AGE))
    cache.put(b"a", Answer(Outcome.ANSWERED, b"1"), 0.0)
    cache.put(b"b", Answer(Outcome.ANSWERED, b"1" * 1000), 0.0)
    assert cache.get(b"a", 0.0) is not None
    assert cache.get(b"b", 0.0) is None

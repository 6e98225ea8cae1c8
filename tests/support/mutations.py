"""Changes to bytes on their way."""

from collections.abc import Callable

from hypothesis import strategies as st


def mutations() -> st.SearchStrategy[Callable[[bytes], bytes]]:
    """Flip bits of one byte, cut some out, or put some in, anywhere."""
    where = st.floats(0, 1, exclude_max=True)

    def flip(at: float, mask: int) -> Callable[[bytes], bytes]:
        def apply(data: bytes) -> bytes:
            position = int(at * len(data))
            return data[:position] + bytes([data[position] ^ mask]) + data[position + 1 :]

        return apply

    def cut(at: float, size: int) -> Callable[[bytes], bytes]:
        return lambda data: data[: int(at * len(data))] + data[int(at * len(data)) + size :]

    def insert(at: float, extra: bytes) -> Callable[[bytes], bytes]:
        return lambda data: data[: int(at * len(data))] + extra + data[int(at * len(data)) :]

    return st.one_of(
        st.builds(flip, where, st.integers(1, 255)),
        st.builds(cut, where, st.integers(1, 40)),
        st.builds(insert, where, st.binary(min_size=1, max_size=9)),
    )

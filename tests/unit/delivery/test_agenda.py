"""The two queues against their simplest models."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ironmesh.delivery.agenda import Agenda, Line

steps = st.lists(
    st.tuples(st.sampled_from(["put", "drop", "due"]), st.integers(0, 9), st.integers(0, 20)),
    max_size=60,
)


@given(steps)
def test_an_agenda_is_a_table_sorted_by_time(some):
    agenda, model = Agenda(), {}
    for what, key, at in some:
        if what == "put":
            agenda.put(key, at)
            model[key] = at
        elif what == "drop":
            agenda.drop(key)
            model.pop(key, None)
        else:
            due = agenda.take_due(at)
            assert sorted(due) == sorted(one for one, moment in model.items() if moment <= at)
            moments = [model.pop(one) for one in due]
            assert moments == sorted(moments)
        assert agenda.next == min(model.values(), default=None)
        assert len(agenda) == len(model)
        assert all(one in agenda for one in model)


def test_what_left_an_agenda_takes_no_room():
    agenda = Agenda()
    for number in range(10_000):
        agenda.put(number, 1e6 - number)
        agenda.drop(number)
        agenda.put("always", number)
    assert agenda._count < 100
    assert len(agenda._heap) < 100


@given(st.lists(st.tuples(st.sampled_from(["add", "leave", "first", "last"]), st.integers(0, 40))))
def test_a_line_is_a_list_of_those_that_still_wait(some):
    model: list[int] = []
    line, count = Line(lambda item: item in model), 0
    for what, pick in some:
        if what == "add":
            count += 1
            model.append(count)
            line.append(count)
        elif what == "leave" and model:
            model.remove(model[pick % len(model)])
            line.note_left()
        elif what in ("first", "last"):
            item = line.pop_first() if what == "first" else line.pop_last()
            expected = (model[0] if what == "first" else model[-1]) if model else None
            assert item == expected
            if item is not None:
                model.remove(item)
        assert list(line) == model
        assert line.first == (model[0] if model else None)


def test_what_left_a_line_takes_no_room():
    waiting: set[int] = {0}
    line = Line(waiting.__contains__)
    line.append(0)
    for number in range(1, 10_000):
        waiting.add(number)
        line.append(number)
        waiting.discard(number)
        line.note_left()
    assert len(line._items) < 200

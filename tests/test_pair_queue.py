"""The queue of orders and its thread; the making is a stand-in."""

import threading
from collections.abc import Iterator

import pytest

from huvidpo_core.errors import Stopped, UserError
from huvidpo_core.pairing import READY, Order, Pairing
from huvidpo_core.progress import Progress
from huvidpo_core.recipe import Recipe

EMPTY = (0, "", 0, "", 0)
PATIENCE = 120  # seconds until a test that waits gives up


class Maker:
    """Makes a pair each time it is let to; an order of the prompt "bad" fails, of "broken" badly."""

    def __init__(self) -> None:
        self.go, self.made, self.began = threading.Semaphore(0), [], threading.Semaphore(0)

    def check(self, order: Order) -> None:
        if not order.recipe.prompt:
            raise UserError("The prompt is empty.")

    def make(self, order: Order, stop: threading.Event) -> Iterator[Progress]:
        yield Progress("animating", 3, 4)
        self.began.release()
        while not self.go.acquire(timeout=0.01):
            if stop.is_set():
                raise Stopped
        if order.recipe.prompt == "bad":
            raise UserError("It went wrong.")
        if order.recipe.prompt == "broken":
            raise RuntimeError("tensor 7 is on fire")
        self.made.append(order)

    def open_pairs(self, rater: str, action: str | None = None) -> int:
        return sum(action in (None, order.recipe.action) for order in self.made)


@pytest.fixture
def maker() -> Maker:
    return Maker()


@pytest.fixture
def pairing(maker) -> Iterator[Pairing]:
    pairing = Pairing(maker, maker)
    yield pairing
    pairing.stop()
    assert pairing.wait(PATIENCE)


def order(prompt: str = "good", action: str = "rain", count: int = 1, keep: bool = False) -> Order:
    return Order(Recipe(prompt, action, "cartoon"), count=count, keep=keep)


def let(maker: Maker, count: int) -> None:
    maker.go.release(count)


def test_the_queue_is_told(maker, pairing):
    """Ready, being made and ordered, of all and of one action; orders are carried out one by one, first come first."""
    assert pairing.queue() == EMPTY
    pairing.order(order(count=2))
    pairing.order(order(action="smile"))
    maker.began.acquire()
    assert pairing.queue() == (0, "animating, step 3 of 4", 2, "", 0)
    assert pairing.queue("smile") == (0, "", 1, "", 0)
    assert [each.recipe.action for each in pairing.coming()] == ["rain", "rain", "smile"]
    let(maker, 3)
    assert pairing.wait(PATIENCE)
    assert pairing.queue() == (3, "", 0, "", 0) and pairing.queue("rain").ready == 2 and pairing.coming() == []
    assert [each.recipe.action for each in maker.made] == ["rain", "rain", "smile"]


def test_an_order_of_two_is_two(maker, pairing):
    """However long somebody rates, none is made that was not ordered, and none is said to be kept ready."""
    let(maker, 100)
    pairing.order(order(count=2))
    for _ in range(3):
        assert pairing.wait(PATIENCE)
        pairing.keep_ready("ann", "rain")
        pairing.keep_ready("ann")
    assert pairing.wait(PATIENCE) and len(maker.made) == 2 and pairing.queue().kept == 0


def test_pairs_are_kept_ready_while_somebody_rates(maker, pairing):
    """Where that was ordered: up to three, those on their way counted, as last ordered so for the action."""
    pairing.keep_ready("ann", "rain")
    assert pairing.queue() == EMPTY
    pairing.order(order("old", keep=True))
    pairing.order(order("new", keep=True))
    assert (pairing.queue().kept, pairing.queue("rain").kept, pairing.queue("smile").kept) == (READY, READY, 0)
    pairing.keep_ready("ann", "smile")
    for _ in range(3):
        pairing.keep_ready("ann", "rain")
    let(maker, 100)
    assert pairing.wait(PATIENCE)
    assert [each.recipe.prompt for each in maker.made] == ["old", "new", "new"] and len(maker.made) == READY
    pairing.keep_ready("ann")
    assert pairing.wait(PATIENCE) and len(maker.made) == READY
    maker.made.clear()  # all rated
    pairing.order(order("laugh", action="smile", keep=True))
    pairing.order(order("once", action="smile"))
    assert pairing.wait(PATIENCE)
    maker.made.clear()
    pairing.keep_ready("ann")
    assert pairing.wait(PATIENCE) and [each.recipe.prompt for each in maker.made] == ["laugh"] * 3


@pytest.mark.parametrize(
    ("prompt", "said"), [("bad", "It went wrong."), ("broken", "could not be made (RuntimeError)")]
)
def test_a_failure_is_shown_and_does_not_end_the_work(maker, pairing, prompt, said):
    """The rest of that order is dropped and not made again by itself; other orders go on; a new order clears it."""
    pairing.order(order(prompt, count=4, keep=True))
    pairing.order(order(action="smile"))
    let(maker, 100)
    assert pairing.wait(PATIENCE)
    assert said in pairing.queue().error and len(maker.made) == 1
    pairing.keep_ready("ann", "rain")
    assert pairing.wait(PATIENCE) and len(maker.made) == 1
    assert said in pairing.queue().error and pairing.queue().kept == 0
    pairing.order(order())
    assert pairing.queue().error == "" and pairing.wait(PATIENCE) and len(maker.made) == 2


@pytest.mark.parametrize("how", ["waited", "stopped"])
def test_a_failure_is_not_told_for_ever(maker, pairing, monkeypatch, how):
    """For a while, or until somebody presses Stop."""
    pairing.order(order("bad"))
    let(maker, 1)
    assert pairing.wait(PATIENCE) and pairing.queue().error == "It went wrong."
    if how == "waited":
        monkeypatch.setattr("huvidpo_core.pairing.TOLD", 0)
    else:
        pairing.stop()
    assert pairing.queue() == EMPTY


def test_stop_ends_what_is_being_made_and_forgets_the_rest(maker, pairing):
    """Nothing more is made, not even while somebody rates, until the next order."""
    pairing.order(order(count=5, keep=True))
    maker.began.acquire()
    pairing.stop()
    assert pairing.wait(PATIENCE) and pairing.queue() == EMPTY
    pairing.keep_ready("ann", "rain")
    pairing.keep_ready("ann")
    assert pairing.queue() == EMPTY and maker.made == []
    let(maker, 1)
    pairing.order(order())
    assert pairing.wait(PATIENCE) and len(maker.made) == 1


def test_a_pair_that_is_finished_while_one_is_counted_is_not_made_again(maker, pairing, monkeypatch):
    """The count of ready pairs and of those on their way belong together: never more than three in all."""
    count = maker.open_pairs

    def slow(*values: str | None) -> int:
        before, made = count(*values), len(maker.made)
        let(maker, 1)
        for _ in range(50):  # half a second, in which the pair being made could end
            if len(maker.made) > made and pairing._current is None:
                break
            threading.Event().wait(0.01)
        return before

    pairing.order(order(keep=True))
    maker.began.acquire()
    monkeypatch.setattr(maker, "open_pairs", slow)
    pairing.keep_ready("ann", "rain")
    monkeypatch.setattr(maker, "open_pairs", count)
    let(maker, 10)
    assert pairing.wait(PATIENCE) and len(maker.made) == READY


def test_many_at_once_lose_no_order(maker, pairing):
    """Eight threads order 25 pairs each, one by one: two hundred are made, by one worker at a time."""
    let(maker, 1000)
    threads = [threading.Thread(target=lambda: [pairing.order(order()) for _ in range(25)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pairing.wait(PATIENCE) and len(maker.made) == 200
    assert sum(thread.name == "pairs" and thread.is_alive() for thread in threading.enumerate()) <= 1

"""Each moment of a run is charged to one part, on a clock that only the test moves."""

import contextlib
import threading

import jax
import pytest

from align_jax.training.clock import COMPILING, PARTS, Clock, described
from align_jax.training.device_watch import DeviceWatch


class Time:
    """A clock that stands still until it is moved."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def passes(self, seconds):
        self.now += seconds


class Work:
    """Outputs of a program that ends when the test says so."""

    def __init__(self):
        self.ended = threading.Event()

    def block_until_ready(self):
        assert self.ended.wait(60)
        return self


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def clock(time):
    clock = Clock(time)
    yield clock
    clock.close()


def end(work, clock):
    """The program ends, and the watch has seen it."""
    work.ended.set()
    while clock._device.idle_since() is None:
        pass


def seconds(clock):
    """The parts that have any."""
    return {part.removesuffix("_s"): value for part, value in clock.timing().items() if value}


def compiled(duration, event="backend_compile_duration"):
    jax.monitoring.record_event_duration_secs(f"{COMPILING}{event}", duration, fun_name="step")


def test_the_innermost_part_is_charged_and_all_parts_are_the_whole(clock, time):
    def fail_after(seconds):
        time.passes(seconds)
        raise KeyError

    time.passes(1)
    with clock.part("evaluation"):
        time.passes(2)
        with clock.part("saving"):
            time.passes(4)
        time.passes(8)
    with pytest.raises(KeyError), clock.part("compute"):
        fail_after(16)
    time.passes(32)
    assert seconds(clock) == {"other": 33, "evaluation": 10, "saving": 4, "compute": 16}
    summary = clock.summary(images=32)
    assert summary["wall_s"] == 63
    assert summary["images_per_s"] == 2
    assert summary["data_wait_fraction"] == 0


def test_compiling_is_heard_wherever_it_happens_and_counted_once(clock, time):
    with clock.part("evaluation"):
        time.passes(1)
        compiled(0.5, "jaxpr_trace_duration")  # a function that is called by the one that is traced
        time.passes(2)
        compiled(2.75, "jaxpr_trace_duration")  # both
        time.passes(4)
        compiled(4.0)
        time.passes(8)
    assert seconds(clock) == {"evaluation": 8.25, "compile": 6.75}
    with clock.part("compile"):
        time.passes(1)
        compiled(1.0)
    assert seconds(clock) == {"evaluation": 8.25, "compile": 7.75}


def test_what_other_threads_compile_and_other_events_are_not_heard(clock, time):
    with clock.part("compute"):
        time.passes(4)
        thread = threading.Thread(target=compiled, args=(3.0,))
        thread.start()
        thread.join()
        jax.monitoring.record_event_duration_secs("/jax/compilation_cache/cache_retrieval_time_sec", 2.0)
    assert seconds(clock) == {"compute": 4}


def test_jax_tells_of_what_it_compiles(clock, time, monkeypatch):
    heard = []
    monkeypatch.setattr(clock, "_move", lambda seconds, part: heard.append(part))
    time.passes(1000)  # a compilation cannot have begun before the part did
    jax.jit(lambda x: x * 3 + 1)(jax.numpy.ones(7))
    assert heard
    assert set(heard) == {"compile"}


def test_waiting_for_data_counts_as_far_as_the_device_has_nothing_to_do(clock, time):
    def wait(before, after=0, work=None):
        with clock.part("compute"), clock.waiting_for_data():
            time.passes(before)
            if work is not None:
                end(work, clock)
            time.passes(after)

    wait(1)
    assert seconds(clock) == {"data": 1}  # the first batch: nothing was given to the device yet
    first, second = Work(), Work()
    clock.given({"loss": first})
    wait(2)
    assert seconds(clock) == {"data": 1, "compute": 2}  # the loop is ahead of the device
    clock.given({"loss": second})
    first.ended.set()
    wait(4, 8, second)
    assert seconds(clock) == {"data": 9, "compute": 6}  # the device ended during the wait
    time.passes(16)
    wait(32)
    assert seconds(clock) == {"data": 41, "compute": 6, "other": 16}  # it had ended before, which is no waiting


def test_a_line_of_the_log_has_rates_since_the_last_one_and_all_seconds(clock, time):
    for images, taken in ((10, 5), (60, 10)):
        with clock.part("evaluation"):
            time.passes(100)
        with clock.part("compute"):
            time.passes(taken)
        line = clock.line(images)
    assert line["images_per_s"] == 6
    assert line["seconds/compute"] == 15
    assert line["seconds/evaluation"] == 200
    assert sum(line[f"seconds/{part}"] for part in PARTS) == 215


def test_a_resumed_run_goes_on_with_the_seconds_of_its_checkpoint(clock, time):
    with clock.part("compute"):
        time.passes(3)
    with contextlib.closing(Clock(time)) as again:
        again.go_on_from(clock.timing())
        with again.part("compute"):
            time.passes(1)
        assert again.line(5)["images_per_s"] == 5  # of this start alone
        assert seconds(again) == {"compute": 4}
        assert again.summary(8)["images_per_s"] == 2
        assert again.summary(8)["wall_s"] == 4


def test_a_run_that_an_earlier_version_began_keeps_its_seconds(clock):
    clock.go_on_from({"compile_s": 20.0, "train_s": 70.0, "data_wait_s": 10.0, "wall_s": 100.0})
    assert seconds(clock) == {"compile": 20, "compute": 60, "data": 10, "other": 10}


def test_a_checkpoint_without_seconds_has_no_rates(clock):
    clock.go_on_from({})
    assert "images_per_s" not in clock.summary(10)


def test_the_last_line_says_the_largest_parts_first():
    timing = dict.fromkeys((f"{part}_s" for part in PARTS), 0.0) | {"data_s": 1.0, "compute_s": 299.0, "compile_s": 100}
    assert described(timing) == "400 s: compute 75 %, compile 25 %"


def test_a_program_that_fails_does_not_end_the_watch():
    class Failing:
        def block_until_ready(self):
            raise RuntimeError("out of memory")

    watch = DeviceWatch()
    watch.given(Failing())
    watch.given(jax.numpy.ones(3))
    watch.close()
    assert watch.idle_since() is not None

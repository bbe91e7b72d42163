"""P7: a mini-batch costs the same among many as among few. The whole curve is in docs/benchmarks.md."""

import resource

from tests.integration.lab import Lab

DOES_NOTHING = "def run(mini_batch):\n    return mini_batch\n"


def test_p7_a_mini_batch_costs_the_same_at_20_000_as_at_2_000(lab: Lab) -> None:
    """Counted in processor time, which a busy machine disturbs less; what a run costs in any case is taken off first."""
    script = lab.script(DOES_NOTHING)
    none, few, many = (processor_seconds(lab, script, count) for count in (1, 2_000, 20_000))
    each_of_few, each_of_many = (few - none) / 2_000, (many - none) / 20_000
    assert each_of_many < 1.5 * each_of_few


def processor_seconds(lab: Lab, script: object, count: int) -> float:
    folder = lab.root / f"items-{count}"
    lab.items(*(f"{number:05d}" for number in range(count)), folder=folder)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = lab.run(script, "--input", folder, "--output", lab.root / f"out-{count}", "--mini-batch-size", 1, "--processes", 2, seconds=120)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ended.summary["rows"] == count
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

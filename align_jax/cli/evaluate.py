"""`launch/evaluate.py`: evaluates a trained run again, on any data set with the same classes, or with some of them."""

from collections.abc import Sequence
from pathlib import Path

from align_jax.cli import distributed
from align_jax.cli.arguments import parse_flags, split_compilation_cache
from align_jax.cli.exit_status import exit_status
from align_jax.cli.named_run import load_named_run
from align_jax.cli.overrides import check_groups, check_overrides, split_overrides, with_overrides
from align_jax.errors import one_line
from align_jax.runtime.joining import Processes
from align_jax.runtime.terminal import show

USAGE = (
    "python launch/evaluate.py --workdir=DIR [--step=N] [--config.data.FIELD=VALUE ...] "
    "[--config.evaluation.FIELD=VALUE ...] [--config.explain.FIELD=VALUE ...] [--out=FILE] "
    f"[--compilation_cache=DIR|off] {distributed.USAGE}"
)

# What may differ from training when a run is evaluated again.
EVALUATED = ("data", "evaluation", "explain")


def main(arguments: Sequence[str]) -> int:
    """Runs `launch/evaluate.py` and returns its exit status: 0, 2 for a user's mistake, 130 when interrupted.

    Of several processes, those that are left end with 75 when another one has died.
    """
    processes = Processes()

    def run() -> None:
        cache, given = split_compilation_cache(arguments)
        hosts, given = distributed.split_distributed(given)
        overrides, others = split_overrides(given)
        values, _ = parse_flags(others, USAGE, paths=("workdir", "out"), integers=("step",))
        from align_jax.configuration import default_config, with_home
        from align_jax.runtime.compilation_cache import use_compilation_cache
        from align_jax.runtime.devices import check_accelerator

        check_overrides(default_config(), overrides, EVALUATED)
        use_compilation_cache(cache)
        if hosts.wanted:
            processes.join(hosts.coordinator, hosts.num_processes, hosts.process_id)
        check_accelerator()
        from align_jax.inference.reevaluation import check_out, evaluation_table, reevaluate, write_evaluation

        trained = load_named_run(values)
        config = with_home(with_overrides(trained.config, overrides))
        check_groups(config, (*EVALUATED, "masker"))
        out = Path(values.out) if values.out is not None else None
        if out is not None:
            check_out(trained, out)
        evaluation = reevaluate(trained, config, prepare_on_each_host=hosts.prepare_on_each_host)
        if processes.is_writer:
            path = write_evaluation(trained, evaluation, out)
            show(f"{evaluation_table(evaluation)}\nEvaluation: {one_line(str(path))}")

    return exit_status(
        run,
        on_os_error="can the data be read, and DIR/evaluations, config.data.prepared or --out be written?",
        on_interrupt="nothing was written.",
        on_memory_error="lower config.evaluation.batch_size",
        processes=processes,
    )

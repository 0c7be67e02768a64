"""What a run prints before its first step."""

import jax

from align_jax.training.run import OpenRun, Reached, steps_per_epoch


def describe(run: OpenRun, reached: Reached) -> None:
    """Prints devices, batch, length, data, selection, guidance, and a table of parameters."""
    config, data, say = run.plan.config, run.data, run.progress.say
    (steps, warmup), batch, devices = run.length, config.schedule.batch_size, run.mesh.devices
    if reached.step:
        say(f"resuming at step {reached.step} of {steps} from {run.folder}")
    processes = f", in {jax.process_count()} processes" if jax.process_count() > 1 else ""
    say(f"devices     {devices.size} x {devices.flat[0].device_kind} ({jax.default_backend()}){processes}")
    parts = f", in {config.schedule.accumulate} micro-batches" if config.schedule.accumulate > 1 else ""
    shares = f"{batch // devices.size} a device, {batch // len(data.train)} a domain{parts}"
    say(f"batch       {batch} over all devices, {shares}")
    say(f"length      {steps} steps = {steps / steps_per_epoch(config, data):.1f} epochs, {warmup} of them warm-up")
    held_out = ", ".join(split.domain for split in data.evaluation if split.role == "ood")
    say(
        f"data        {data.name}, {config.data.protocol}: {sum(map(len, data.train.values()))} training images of "
        f"{', '.join(data.train)}; held out: {held_out or 'none'}"
    )
    if config.classifier.freeze_batch_norm and not config.classifier.pretrained:
        say(
            "WARNING config.classifier.freeze_batch_norm freezes the statistics of an untrained network; set "
            "config.classifier.pretrained, or set config.classifier.freeze_batch_norm to False."
        )
    oracle = " (an ORACLE: it uses the labels of the test)" if config.selection == "oracle" else ""
    say(f"selection   {config.selection}{oracle}")
    say(f"guidance    {run.plan.guidance}, algorithm {config.algorithm}")
    for network, state in zip(("classifier", "masker"), reached.states, strict=True):
        if state is not None:
            rows = {name: sum(leaf.size for leaf in jax.tree.leaves(part)) for name, part in state.params.items()}
            say(f"{network:<12}{sum(rows.values()):>12,} parameters")
            for name, size in rows.items():
                say(f"  {name:<24}{size:>12,}")

"""What a run says on the terminal before its first step."""

import jax

from align_jax.training.run import Reached, Run


def describe(run: Run, reached: Reached) -> None:
    """Says devices, batch, length, domains and a table of parameters, line by line."""
    config, data, say = run.plan.config, run.data, run.progress.say
    (steps, warmup), batch, devices = run.length, config.schedule.batch_size, run.mesh.devices
    if reached.step:
        say(f"going on at step {reached.step} of {steps} from {run.folder}")
    say(f"devices     {devices.size} x {devices.flat[0].device_kind} ({jax.default_backend()})")
    say(f"batch       {batch} over all devices, {batch // devices.size} a device, {batch // len(data.train)} a domain")
    say(f"length      {steps} steps = {steps / run.steps_per_epoch:.1f} epochs, {warmup} of them warm-up")
    held_out = ", ".join(split.domain for split in data.evaluation if split.role == "ood")
    say(
        f"data        {data.name}, {config.data.protocol}: {sum(map(len, data.train.values()))} training images of "
        f"{', '.join(data.train)}; held out: {held_out or 'none'}"
    )
    if config.classifier.freeze_batch_norm and not config.classifier.pretrained:
        say(
            "WARNING config.classifier.freeze_batch_norm freezes the statistics of an untrained network; give "
            "config.classifier.pretrained, or set it to False."
        )
    oracle = " (an ORACLE: it looks at the test)" if config.selection == "oracle" else ""
    say(f"selection   {config.selection}{oracle}")
    say(f"guidance    {run.plan.guidance}, algorithm {config.algorithm}")
    for network, state in zip(("classifier", "masker"), reached.states, strict=True):
        if state is not None:
            rows = {name: sum(leaf.size for leaf in jax.tree.leaves(part)) for name, part in state.params.items()}
            say(f"{network:<12}{sum(rows.values()):>12,} parameters")
            for name, size in rows.items():
                say(f"  {name:<24}{size:>12,}")
    if run.weights is not None:
        say(f"pretrained  {run.weights.summary()}")

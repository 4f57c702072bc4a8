"""Reported cases about training."""

import json
import shutil

from tests.reported.running import Case, Check, Checks, Ended

_TINY = ("--features=4", "--z_dim=8", "--lambda_reconstruction=0")


def _train(case: Case, *flags: str) -> Ended:
    kept = f"--compilation_cache_dir={case.programs}"
    return case.run("experiments.train", *flags, *_TINY, kept)


def few_images(case: Case) -> Checks:
    """23: twenty pictures; what is told without a terminal; a folder that moved."""
    few = f"--data=folder:{case.data}/celeba_half[:20]"
    ended = _train(case, few, "--log_every=5", "--steps=4", "--run_dir=a")
    yield ended.refused("batch_size", "20")
    flags = ("--log_every=5", "--batch_size=5", "--steps=30", "--run_dir=b")
    ended = _train(case, few, *flags)
    yield ended.done()
    told = [x for x in ended.output.splitlines() if "of 30 steps" in x]
    yield Check(len(told) >= 2, f"{len(told)} lines of progress, {told[-1:]}")
    folder = case.here / "d1"
    folder.mkdir()
    for k in range(1, 10):
        shutil.copy(case.data / f"celeba_half/00000{k}.jpg", folder)
    flags = ("--log_every=5", "--batch_size=4", "--run_dir=c")
    yield _train(case, "--data=folder:d1", "--steps=4", *flags).done()
    folder.rename(case.here / "d2")
    ended = _train(case, "--data=folder:d2", "--steps=6", *flags)
    check = ended.done()
    resumed = ended.line("resuming after step 4")
    yield Check(check.holds and bool(resumed), f"moved data: {check.seen}, {resumed}")


def diverging_training(case: Case) -> Checks:
    """28: rates of a million."""
    ended = _train(
        case,
        f"--data=folder:{case.data}/celeba_half[:32]",
        *("--batch_size=8", "--log_every=2", "--checkpoint_every=2", "--steps=60"),
        *("--generator_rate=1e6", "--discriminator_rate=1e6", "--run_dir=out"),
    )
    yield ended.refused("loss", " at step ", "diverged", "_rate")
    log = case.here / "out/metrics.jsonl"
    lines = log.read_text().splitlines() if log.is_file() else []
    losses = [json.loads(line)["discriminator_loss"] for line in lines]
    yield Check(
        all(loss is not None and loss < 1e5 for loss in losses), f"log: {losses}"
    )


def tfds_missing(case: Case) -> Checks:
    """34: a set that was not prepared, a slice of it, and one that does not exist."""
    for source, words in (
        ("tfds:celeb_a", ("celeb_a", "prepare")),
        ("tfds:celeb_a/test[:100]", ("celeb_a", "prepare")),
        ("tfds:celebahq", ("celebahq",)),
    ):
        flags = (f"--data={source}", "--data_dir=empty", "--run_dir=out", "--steps=2")
        yield _train(case, *flags).refused(*words)

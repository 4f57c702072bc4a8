"""Reported cases about networks from elsewhere, and about checkpoints."""

import dataclasses
import subprocess

import jax
import numpy as np

from inpaint_jax.pretrained import weights
from tests.reported import running
from tests.reported.running import SHORTEST, Case, Check, Checks, Ended

# What PyTorch draws of a state dict, layer by layer; and a file that would run code.
_IN_TORCH = """
import os, sys, numpy as np, torch
from torch.nn import functional as f
folder, z = sys.argv[1], torch.tensor(np.load(sys.argv[1] + "/z.npy"))[:, :, None, None]
state = torch.load(folder + "/netG_epoch_24.pth", weights_only=True)
for k in range(0, 13, 3):
    z = f.conv_transpose2d(z, state[f"main.{k}.weight"], None, *((2, 1) if k else ()))
    norm = [state.get(f"main.{k + 1}.{part}") for part in
            ("running_mean", "running_var", "weight", "bias")]
    z = torch.tanh(z) if norm[0] is None else torch.relu(f.batch_norm(z, *norm))
np.save(folder + "/drawn.npy", z.permute(0, 2, 3, 1).numpy())
class Code:
    def __reduce__(self):
        return os.system, ("touch code_was_run",)
torch.save({"main.0.weight": Code()}, folder + "/code.pth")
"""

# Releases hold weights of 16 bits; pixels lie between -1 and 1.
_ROUNDING = 2e-3

# Pairs of files as people have them, and words of the sentence if they are refused;
# none for what must be converted.
_PAIRS = (
    ("plain_G.safetensors", "plain_D.safetensors", ()),
    ("parallel_G.safetensors", "parallel_D.safetensors", ()),
    ("netG_epoch_24.pth", "netD_epoch_24.pth", ()),
    ("model_final.pth", "model_final.pth", ("model_final.pth:generator",)),
    ("model_final.pth:generator", "model_final.pth:discriminator", ()),
    ("half_G.safetensors", "half_D.safetensors", ()),
    (
        "bf16_G.safetensors",
        "plain_D.safetensors",
        ("bf16_G.safetensors", "BF16", ".float()"),
    ),
    ("grey_G.safetensors", "grey_D.safetensors", ("grey_G.safetensors", "3")),
    ("px128_G.safetensors", "px128_D.safetensors", ()),
    ("plain_G.safetensors", "spectral_D.safetensors", ("spectral_D.safetensors",)),
    (
        "lightning_both.safetensors",
        "lightning_both.safetensors",
        ("lightning_both.safetensors:netG",),
    ),
    ("lightning_both.safetensors:netG", "lightning_both.safetensors:netD", ()),
    ("old_G.safetensors", "plain_D.safetensors", ()),
    ("wide_G.safetensors", "plain_D.safetensors", ()),
    ("plain_D.safetensors", "plain_G.safetensors", ("plain_D.safetensors",)),
    ("code.pth", "plain_D.safetensors", ("code.pth",)),
)


def torch_conversions(case: Case) -> Checks:
    """18: state dicts that PyTorch wrote, converted and searched."""
    case.make(torch=True)
    z = np.random.default_rng(0).normal(size=(4, 100)).astype(np.float32)
    np.save(case.here / "in/z.npy", z)
    subprocess.run([str(case.torch), "-c", _IN_TORCH, "in"], cwd=case.here, check=True)
    for generator, discriminator, words in _PAIRS:
        ended = _convert(case, generator, discriminator)
        check = ended.refused(*words) if words else ended.done()
        yield Check(check.holds, f"{generator} + {discriminator}: {check.seen}")
    ran = case.wrote("code_was_run")
    yield Check(not ran, "no code was run" if not ran else "code of a .pth was run")
    model = weights.load(case.here / _folder("netG_epoch_24.pth"))
    away = np.abs(
        jax.jit(model.generate)(z) - np.load(case.here / "in/drawn.npy")
    ).max()
    yield Check(bool(away < _ROUNDING), f"at most {away:.1e} from PyTorch's pictures")
    ended = _convert(case, "px128_G.safetensors", "px128_D.safetensors")
    yield _searched(case, "128 pixels", _folder("px128_G.safetensors"), ended)
    ended = _convert(case, "plain_G.safetensors", "plain_D.safetensors", "--crop=178")
    yield _searched(case, "a crop of 178", _folder("plain_G.safetensors"), ended)


def _folder(generator: str) -> str:
    return generator.replace(".", "_").replace(":", "_")


def _convert(case: Case, generator: str, discriminator: str, *flags: str) -> Ended:
    return case.run(
        "experiments.convert",
        f"--generator=in/{generator}",
        f"--discriminator=in/{discriminator}",
        f"--output={_folder(generator)}",
        *flags,
    )


def _searched(case: Case, what: str, folder: str, converted: Ended) -> Check:
    """Searches a converted model with the flags that the conversion told."""
    told = converted.line("search with ").partition("search with ")[2]
    flags = [flag for flag in told.partition(";")[0].split() if flag.startswith("--")]
    short = ("--iterations=2", "--restarts=2", "--output_dir=searched")
    ended = case.inpaint(f"--checkpoint={folder}", *flags, *short)
    check = ended.done()
    return Check(
        check.holds and bool(flags), f"{what}, searched {' '.join(flags)}: {check.seen}"
    )


def checkpoint_mismatch(case: Case) -> Checks:
    """20: a run that goes on with other settings, and one that was moved."""
    usual = (
        *("--batch_size=8", "--features=4", "--z_dim=8", "--log_every=2"),
        *("--checkpoint_every=4", "--sample_every=100", "--lambda_reconstruction=0"),
        f"--compilation_cache_dir={case.programs}",
    )
    data = f"--data=folder:{case.data}/celeba_half"

    def train(run: str, *flags: str, part: str = "[:32]") -> Ended:
        given = (f"{data}{part}", *usual, f"--run_dir=my runs/{run}", *flags)
        return case.run("experiments.train", *given)

    yield train("a b", "--steps=4").done()
    yield train("a b", "--steps=8", "--features=8").refused(
        "architecture", "my runs/a b"
    )
    yield train("a b", "--steps=8", part="[:40]").refused("--data", "pictures")
    yield train("a b", "--steps=2").refused("steps", "2", "4")
    yield train("a b", "--steps=8").done()
    yield train("whole", "--steps=8").done()
    (case.here / "my runs/a b").rename(case.here / "my runs/moved")
    search = (
        "--landmark_term=none",
        "--lambda_structure=0",
        "--init=random",
        "--output_dir=out",
    )
    ended = case.inpaint(running.SMOKE, "--checkpoint=my runs/moved", *search)
    check = ended.done()
    yield Check(check.holds, f"moved run searched: {check.seen}")
    for deep in ("my runs/moved/checkpoints", "my runs/moved/checkpoints/8", "my runs"):
        ended = case.inpaint(*SHORTEST, f"--checkpoint={deep}", *search)
        check = ended.done() if ended.code == 0 else ended.refused(deep)
        yield Check(check.holds, f"{deep}: {check.seen}")
    a, b = (weights.load(case.here / "my runs" / run) for run in ("moved", "whole"))
    leaves = zip(jax.tree.leaves(a.networks), jax.tree.leaves(b.networks), strict=True)
    away = max(float(np.abs(np.asarray(x) - np.asarray(y)).max()) for x, y in leaves)
    yield Check(away == 0.0, f"resumed and undisturbed weights are {away:g} apart")


def collapsed_generator(case: Case) -> Checks:
    """24: generators that draw one picture, or two, are judged by enough faces."""
    from_torch = case.here.parent / "18-torch-conversions"
    source = case.source.parent / from_torch.name
    other = dataclasses.replace(case, source=source, here=from_torch)
    if not (from_torch / "in/plain_G.safetensors").is_file():
        other.copy()
        other.make(torch=True)
    case.make(torch=True)
    faces = f"folder:{case.data}/celeba_half"
    for name in ("one", "two"):
        ended = case.run(
            "experiments.convert",
            f"--generator=in/{name}_G.safetensors",
            "--discriminator=in/D.safetensors",
            f"--output={name}",
        )
        yield ended.done()
        for part, known in (("[9000:9064]", ()), ("[9000:9200]", ("[:1000]",))):
            ended = case.run(
                "experiments.train",
                *(f"--check={name}", f"--data={faces}{part}", "--reconstruct=0"),
                *(f"--train_data={faces}{each}" for each in known),
                f"--run_dir=health_{name}",
                f"--compilation_cache_dir={case.programs}",
            )
            lines = ended.output.splitlines()
            passed = [line for line in lines if line.startswith("passed")]
            sane = ended.refused("too few") if not known else ended.done()
            last = ended.error or ended.line("not fit") or lines[-1]
            yield Check(
                not passed and "Traceback" not in ended.output and sane.holds,
                f"{name}, {part}: {len(passed)} lines say passed; {last}",
            )

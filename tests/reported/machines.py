"""Reported cases about memory and devices."""

from tests.reported import running
from tests.reported.running import SHORTEST, Case, Check, Checks

# A machine with an NVIDIA card and a JAX without CUDA, pretended: JAX then warns.
_PRETENDED = """
import runpy, sys
from jax._src import hardware_utils
hardware_utils.has_visible_nvidia_gpu = lambda: True
sys.argv = ["experiments.inpaint", *sys.argv[1:]]
runpy.run_module("experiments.inpaint", run_name="__main__", alter_sys=True)
"""
_GROWTH = 150  # MB that 56 further pictures may take


def memory_growth(case: Case) -> Checks:
    """26: four pictures and sixty, no two of one size."""
    case.make()
    for extra in ((), ("--landmark_term=step", "--landmark_target=masked")):
        peaks = []
        for count in (4, 60):
            flags = (running.SMOKE, *extra, f"--images=in[:{count}]")
            kept = f"--compilation_cache_dir={case.programs}"
            command = ("experiments.inpaint", *flags, "--output_dir=out", kept)
            ended, peak = case.measured(*command)
            yield Check(
                ended.code in (0, 1) and "Traceback" not in ended.output,
                f"{count} pictures {' '.join(extra)}: exit {ended.code}, "
                f"{len(case.report('out')['images'])} completed, {ended.seconds:.0f} s",
            )
            peaks.append(peak)
        few, many = peaks
        yield Check(
            many - few < _GROWTH, f"{few} MB with 4, {many} MB with 60 pictures"
        )


def no_gpu(case: Case) -> Checks:
    """27: a device that is not there."""
    for name in ("cuda", "gpu"):
        ended = case.inpaint(*SHORTEST, "--output_dir=out", JAX_PLATFORMS=name)
        yield ended.refused(name)
    ended = case.inpaint(*SHORTEST, "--output_dir=out", CUDA_VISIBLE_DEVICES="0")
    yield ended.done()


def gpu_warning_hidden(case: Case) -> Checks:
    """33: a JAX that does not use the card of its machine says so."""
    environment = {"JAX_PLATFORMS": ""}
    ended = case.python(
        *("-c", _PRETENDED, *SHORTEST, "--output_dir=out"), **environment
    )
    yield ended.done()
    warned = ended.line("GPU")
    yield Check(bool(warned), warned or "JAX's warning is not shown")
    printed = ended.line("on the CPU")
    yield Check(bool(printed), printed or "the device is not printed")
    devices = {k: v for k, v in case.report("out").items() if "device" in k}
    yield Check(bool(devices), f"report.json: {devices}")

"""Memory and memory bandwidth of accelerators people rent or own. Facts, not prices.

Source: Epoch AI, "Data on machine learning hardware" (CC-BY-4.0, epoch.ai/data, April 2026).
"""

from dataclasses import dataclass

from parity.errors import UsageError, did_you_mean


@dataclass(frozen=True, slots=True)
class Gpu:
    """One accelerator: memory in bytes, bandwidth in bytes a second (None: unknown)."""

    name: str
    memory_bytes: int
    bandwidth_bytes_s: float | None


_GB = 1_000_000_000
_ROWS = (
    ("B300", 270, 7700), ("B200", 180, 7700), ("B100", 192, 8000), ("GB200", 186, 8000), ("H200 SXM", 141, 4800),
    ("H100 SXM", 80, 3350), ("H100 NVL", 94, 3938), ("H100 PCIe", 80, 2040), ("H20", 96, 4000), ("H800 SXM", 80, 3360),
    ("A100 80GB", 80, 2039), ("A100 40GB", 40, 1560), ("A40", 48, 695.8), ("A10", 24, 600.2), ("A10G", 24, 600.2),
    ("L40", 48, 864), ("L20", 48, 864), ("L4", 24, 300.1), ("L2", 24, 300), ("T4", 16, 320),
    ("V100 32GB", 32, 897), ("V100 16GB", 16, 897), ("P100", 16, 732), ("P40", 24, 694.3), ("K80", 24, 241),
    ("RTX 4090", 24, 1008), ("RTX 4080", 16, 716.8), ("RTX 4070", 12, 504.2), ("RTX 3090 Ti", 24, 1008),
    ("RTX 3090", 24, 936), ("RTX 3080", 10, 760), ("RTX 2080 Ti", 11, 616), ("GTX 1080 Ti", 11, 484),
    ("GTX 1080", 8, 320.3), ("RTX A6000", 48, 768), ("RTX A5000", 24, 768), ("RTX A4000", 16, 448),
    ("Quadro RTX 8000", 48, 672), ("Quadro RTX 6000", 24, 672), ("Quadro RTX 5000", 16, 448),
    ("MI355X", 288, 8000), ("MI325X", 256, 6000), ("MI300X", 192, 5300), ("MI300A", 128, 5300),
    ("MI250X", 128, 3280), ("RX 7900 XTX", 24, 960), ("Gaudi3", 128, 3700), ("Gaudi2", 96, 2450),
)  # fmt: skip
GPUS = {name: Gpu(name, memory * _GB, bandwidth * _GB) for name, memory, bandwidth in _ROWS}
_WORDS = ("nvidia", "amd", "intel", "geforce", "tesla", "instinct", "radeon", "habana")


def find_gpu(name: str) -> Gpu:
    """A GPU by name; makers' names, case and blanks do not matter: `RTX 4090`, `nvidia-rtx-4090`, `h100 sxm`.

    Raises:
        UsageError: none or several have that name.
    """
    asked = _key(name)
    keys = {_key(known): known for known in GPUS}
    if asked in keys:
        return GPUS[keys[asked]]
    begun = [known for key, known in keys.items() if asked and key.startswith(asked)]
    if len(begun) == 1:
        return GPUS[begun[0]]
    hint = f"It can be {', '.join(begun)}." if begun else did_you_mean(name, list(GPUS))
    raise UsageError(f"Parity has no facts about the GPU {name!r}.", hint)


def bandwidth_of(reported: str) -> float | None:
    """The bandwidth of a GPU by the name its driver reports (`NVIDIA H100 80GB HBM3`); None if not in the table."""
    key = _key(reported)
    found = [known for known in GPUS if _key(known) in key]
    if not found and "h100" in key:
        found = ["H100 PCIe" if "pcie" in key else "H100 SXM"]
    if not found and "a100" in key:
        found = ["A100 80GB" if "80gb" in key else "A100 40GB"]
    if not found and "h200" in key:
        found = ["H200 SXM"]
    return GPUS[max(found, key=len)].bandwidth_bytes_s if found else None


def _key(name: str) -> str:
    lowered = name.casefold()
    for word in _WORDS:
        lowered = lowered.replace(word, "")
    return "".join(sign for sign in lowered if sign.isalnum())

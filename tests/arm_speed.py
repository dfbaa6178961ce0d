#!/usr/bin/env python3
"""Predicts how many multiply-adds of bytes ARM cores do in a cycle, from the compiled inner loops alone.

Compiles each ARM kernel set's file as CMake does, finds its innermost loops of multiply-adds in the assembly, and asks
llvm-mca, LLVM's model of the core's pipelines, how many cycles an iteration takes once it runs level, with every load in
the first-level cache. Predicted, not measured: no board is involved, and nothing outside the loop is counted. Where a
group of 32 is straight code, the loop is over pairs of groups, scales and all; elsewhere over a group's tiles alone.

  tests/arm_speed.py           the table of README, as Markdown
  tests/arm_speed.py --loops   the assembly of every loop that is in it
  tests/arm_speed.py --count   instead the instructions that qemu executes for a group of 16 rows, scales and all

Needs the packages of the groups cross-aarch64, cross-armv7 and predict, and --count of emulate
(toolchains/install-packages.sh).
"""

import argparse
import collections
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
KERNELS = ROOT / "platform" / "kernels"
# Multiply-adds in one instruction; what is not here does none. Of 16-bit numbers a register holds half as many.
PRODUCTS = {"smull": 8, "smull2": 8, "smlal": 8, "smlal2": 8, "sdot": 16, "smmla": 32, "vmull.s8": 8, "vmlal.s8": 8,
            "vmlal.s16": 4}
# The board's core, and the model that LLVM has for it: its own, or that of the core it descends from.
CORES_64 = [
    ("Cortex-A53", "cortex-a53", {"neon"}),
    ("Cortex-A55", "cortex-a55", {"neon", "neon_dotprod"}),
    ("Cortex-A72", "cortex-a72", {"neon"}),
    ("Cortex-A76 (Neoverse N1)", "neoverse-n1", {"neon", "neon_dotprod"}),
    ("Cortex-A510", "cortex-a510", {"neon_dotprod", "neon_i8mm"}),
    ("Cortex-A710 (Neoverse N2)", "neoverse-n2", {"neon_dotprod", "neon_i8mm"}),
    ("Cortex-X3 (Neoverse V2)", "neoverse-v2", {"neon_dotprod", "neon_i8mm"}),
]
CORES_32 = [("Cortex-A57 in 32-bit mode", "cortex-a57", {"armv7_neon"})]
Loop = collections.namedtuple("Loop", "kernel label lines products")
FLAGS = ["-std=c++20", "-O3", "-DNDEBUG", "-ffp-contract=off", f"-I{ROOT}"]


def run(command, **options):
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout
    except FileNotFoundError:
        sys.exit(f"{command[0]} is not installed: toolchains/install-packages.sh cross-aarch64 cross-armv7 predict installs it")
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(map(str, command))} failed: {error.stderr.strip()[-600:]}")


def kernel_sets():
    """The flags of every ARM set, from the lines rill_kernels(...) of CMake."""
    text = (ROOT / "platform" / "CMakeLists.txt").read_text()
    for variable, value in re.findall(r"^set\((\w+) \$<\$<CXX_COMPILER_ID:GNU>:(.*)>\)$", text, re.MULTILINE):
        text = text.replace("${%s}" % variable, value)
    for name, processor, flags in re.findall(r"^rill_kernels\((\w+) \"?([^\s\"]+)\"? ?(.*)\)$", text, re.MULTILINE):
        if processor.startswith(("aarch64", "armv7")):
            yield name, processor.startswith("aarch64"), flags.split()


def build(is_64_bit, flags, *what):
    compiler = "aarch64-linux-gnu-g++" if is_64_bit else "arm-linux-gnueabihf-g++"
    return run([compiler, *FLAGS, *flags, *([] if is_64_bit else ["-mthumb"]), *what])


def assembly(name, is_64_bit, flags):
    return build(is_64_bit, flags, "-S", "-o", "-", KERNELS / f"{name}.cc")


def kernel_of(symbol):
    """What a mangled function is, or nothing if it is none of those in the table."""
    found = re.search(r"multiply_runIL[mj](\d)EL[mj](\d+)E", symbol)
    if found:
        tokens, group = int(found[1]), int(found[2])
        if group not in (0, 32):
            return None
        return ("multiply, 1 token" if tokens == 1 else f"multiply, {tokens} tokens at a time") + (
            ", scales and all" if group else "")
    if "dot_wide" in symbol:
        return "attention"
    if "dot_products" in symbol:
        return "peak"
    return None


def products_of(line, kernel):
    """Multiply-adds of an instruction. Attention's 15 bits are two bytes or one 16-bit number."""
    products = PRODUCTS.get(line.split()[0], 0)
    if ".4h" in line or ".8h," in line and ".4s" in line:
        return products // 2
    return products // 2 if kernel == "attention" and "dot" in line.split()[0] else products


def loops(text):
    """The blocks that end in a branch to their own label and hold multiply-adds: of each kernel the one with most."""
    best = {}
    symbol, label, lines = "", "", []
    for line in text.splitlines():
        line = re.sub(r"\s*(@|//).*", "", line)
        if found := re.match(r"^([\w.$]+):", line):
            label, lines = found[1], []
            if not label.startswith(".L"):
                symbol = label
            continue
        if not line.startswith("\t") or line.startswith("\t.") or not line.strip():
            continue
        lines.append(line)
        words = line.split()
        if not re.fullmatch(r"b(\.?[a-z]{2})?|cbn?z", words[0]):
            continue
        kernel = kernel_of(symbol)
        products = sum(products_of(l, kernel) for l in lines)
        if kernel and products and words[-1] == label:
            loop = Loop(kernel, label, lines, products)
            if kernel not in best or best[kernel].products < products:
                best[kernel] = loop
        lines = []
    # Of the passes the largest stands for all, and straight code for what groups of other sizes take.
    most = max((k for k in best if "tokens at" in k), default=None)
    return [best[k] for k in sorted(best)
            if ("tokens at" not in k or k == most) and k + ", scales and all" not in best]


def cycles(loop, is_64_bit, model):
    target = ["-mtriple=aarch64", "-mattr=+dotprod,+i8mm"] if is_64_bit else ["-mtriple=thumbv8", "-mattr=+neon"]
    iterations = 200
    out = run(["llvm-mca-19", *target, f"-mcpu={model}", f"-iterations={iterations}", "-instruction-info=false",
               "-resource-pressure=false"], input="\n".join(loop.lines) + "\n")
    return int(re.search(r"Total Cycles:\s+(\d+)", out)[1]) / iterations


def count(name, is_64_bit, flags):
    """Instructions for a group and so many tokens: the difference between 40 groups and 20, divided by 20."""
    emulator = ["qemu-aarch64", "-cpu", "max"] if is_64_bit else ["qemu-arm", "-cpu", "cortex-a15"]
    with tempfile.TemporaryDirectory() as folder:
        kernels, program, log = (pathlib.Path(folder) / file for file in ("kernels.o", "count", "log"))
        build(is_64_bit, flags, "-c", "-o", kernels, KERNELS / f"{name}.cc")
        build(is_64_bit, flags, f"-DRILL_SET={name}", "-static", "-o", program, ROOT / "tests" / "arm_count.cc", kernels)

        def executed(*arguments):
            run([*emulator, "-singlestep", "-d", "nochain,exec", "-D", log, program, *map(str, arguments)])
            return log.read_text().count("\nTrace ")

        for group in (32, 64):
            for tokens in (1, 4, 16):
                taken = (executed(40, tokens, group) - executed(20, tokens, group)) / 20
                print(f"| {name} | {group} | {tokens} | {taken:.0f} | {taken / (16 * group * tokens):.3f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loops", action="store_true", help="print the loops' assembly too")
    parser.add_argument("--count", action="store_true", help="count instructions under qemu instead")
    arguments = parser.parse_args()
    if arguments.count:
        print("| set | group | tokens | instructions | a multiply-add |\n|---|---|---|---|---|")
        for kernel_set in kernel_sets():
            count(*kernel_set)
        return
    print("| core | set | kernel | multiply-adds an instruction | a cycle | of the peak |\n|---|---|---|---|---|---|")
    for name, is_64_bit, flags in kernel_sets():
        found = loops(assembly(name, is_64_bit, flags))
        peak = next((loop for loop in found if loop.kernel == "peak"), None)
        if len(found) < 4 or not peak:
            sys.exit(f"{name}.cc: its loops of multiply-adds were not found in the assembly; has the compiler changed?")
        found.remove(peak)
        for core, model, sets in CORES_64 if is_64_bit else CORES_32:
            if name not in sets:
                continue
            most = peak.products / cycles(peak, is_64_bit, model)
            for loop in found:
                rate = loop.products / cycles(loop, is_64_bit, model)
                share = f"{100 * rate / most:.0f}%"
                print(f"| {core} | {name} | {loop.kernel} | {loop.products / len(loop.lines):.1f} | {rate:.1f} | {share} |")
        if arguments.loops:
            for loop in found:
                print(f"\n{name}, {loop.kernel}:\n" + "\n".join(loop.lines) + "\n")


if __name__ == "__main__":
    main()

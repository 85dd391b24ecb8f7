"""reach.py LIBRARY FUNCTION...: what machine code each function can reach, on x86-64.

Follows every call and jump from the functions through the library's code, and fails if it leads to a function of another
library that is not on the list below, or anywhere through a pointer. What this finds needs no run that gets there: a lock
that is free, an allocation or a panic on a path that no test takes.
"""

import re
import subprocess
import sys

# A clock that is read without the kernel, and the moving of bytes.
ALLOWED = {"clock_gettime", "memcpy", "memmove", "memset", "memcmp", "bcmp"}

HEAD = re.compile(r"^([0-9a-f]+) <(.+)>:$")
CODE = re.compile(r"^\s+([0-9a-f]+):\t(\S+)\s*(.*)$")
DIRECT = re.compile(r"^([0-9a-f]+) <")
SLOT = re.compile(r"^\*0x[0-9a-f]+\(%rip\)\s+# ([0-9a-f]+)")


def lines_of(*command: str) -> list[str]:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def slots(library: str) -> dict[int, int | str]:
    """What the loader puts into which slot: an address in the library, or another library's function."""
    found: dict[int, int | str] = {}
    for line in lines_of("readelf", "-rW", library):
        words = line.split()
        if len(words) >= 4 and words[2] == "R_X86_64_RELATIVE":
            found[int(words[0], 16)] = int(words[3], 16)
        elif len(words) >= 5 and words[2] in ("R_X86_64_GLOB_DAT", "R_X86_64_JUMP_SLOT"):
            found[int(words[0], 16)] = words[4].split("@")[0]
    return found


def functions(library: str) -> tuple[dict[int, list[tuple[str, str]]], dict[str, int]]:
    """The code of each function by its address, and the addresses by name."""
    code: dict[int, list[tuple[str, str]]] = {}
    names: dict[str, int] = {}
    current: list[tuple[str, str]] = []
    for line in lines_of("objdump", "-d", "--no-show-raw-insn", library):
        if head := HEAD.match(line):
            current = code.setdefault(int(head[1], 16), [])
            names[head[2]] = int(head[1], 16)
        elif instruction := CODE.match(line):
            current.append((instruction[2], instruction[3]))
    return code, names


def main() -> int:
    library, wanted = sys.argv[1], sys.argv[2:]
    filled, (code, names) = slots(library), functions(library)
    called = {address: name for name, address in names.items()}
    outside: set[str] = set()
    forbidden: set[str] = set()
    for function in wanted:
        waiting, seen = [(names[function], function)], {names[function]}
        while waiting:
            address, path = waiting.pop()
            for operation, operand in code.get(address, []):
                if not operation.startswith(("call", "j")):
                    continue
                target: int | str
                if direct := DIRECT.match(operand):
                    target = int(direct[1], 16)
                    # Within a function: its name with a distance.
                    if target not in code:
                        continue
                elif slot := SLOT.match(operand):
                    target = filled.get(int(slot[1], 16), "?")
                elif operation == "jmp" and operand.startswith("*%"):
                    continue  # A table of a match, within the function.
                else:
                    target = "?"
                if isinstance(target, int):
                    if target not in seen:
                        seen.add(target)
                        waiting.append((target, f"{path} > {called.get(target, hex(target))}"))
                elif target in ALLOWED:
                    outside.add(target)
                else:
                    what = "a pointer" if target == "?" else target
                    if what not in forbidden:
                        print(f"{what}: {path}")
                    forbidden.add(what)
    if forbidden:
        print(f"a realtime-safe call can reach {', '.join(sorted(forbidden))}")
        return 1
    print(f"{len(wanted)} calls reach nothing but {', '.join(sorted(outside))}")
    return 0


sys.exit(main())

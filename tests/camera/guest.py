"""Boot Debian's kernel in QEMU (no KVM needed) and run a program of this checkout in it, with vivid and v4l2loopback.

The kernel and its modules come from a folder named by FACELAB_KERNEL_TREE (Debian's linux-image package unpacked with
`dpkg-deb -x`, and v4l2loopback.ko somewhere below lib/modules). The guest sees the host's files read-only.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
from pathlib import Path

WANTED = ("virtio_pci", "9pnet_virtio", "9p", "vivid", "v4l2loopback")
VIVID = "n_devs=1 node_types=0x1 num_inputs=1 input_types=0"
LOOPBACK = "devices=1 video_nr=10 exclusive_caps=0 card_label=loopback"
INIT = """#!/bin/busybox sh
b=/bin/busybox
$b mkdir -p /proc /sys /dev /host
$b mount -t proc proc /proc; $b mount -t sysfs sys /sys; $b mount -t devtmpfs dev /dev
while read m options; do $b insmod /mods/$m $options || echo "GUEST insmod $m failed"; done < /order
$b mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=loose,ro hostroot /host
$b mount -t proc proc /host/proc; $b mount -t sysfs sys /host/sys; $b mount -t devtmpfs dev /host/dev
$b mount -t tmpfs tmpfs /host/run
echo "GUEST booted"
$b chroot /host /bin/sh /run_me 2>&1 || $b chroot /host /bin/sh -c "$($b cat /run_me)" 2>&1
echo "GUEST done"
$b poweroff -f
"""


def missing() -> str | None:
    """Return what the guest lacks on this machine, or None."""
    for program in ("qemu-system-x86_64", "busybox"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    if not os.environ.get("FACELAB_KERNEL_TREE"):
        return "FACELAB_KERNEL_TREE names no folder with Debian's kernel"
    tree = Path(os.environ["FACELAB_KERNEL_TREE"])
    if not list(tree.glob("boot/vmlinuz-*")):
        return f"no boot/vmlinuz-* in {tree}"
    found = modules(tree)
    lacks = [m for m in WANTED if m not in found]
    return f"{tree} lacks the modules {', '.join(lacks)}" if lacks else None


def modules(tree: Path) -> dict[str, Path]:
    """Return every kernel module of a tree by its name."""
    return {p.stem.replace("-", "_"): p for p in sorted(tree.glob("lib/modules/**/*.ko"))}


def in_order(found: dict[str, Path]) -> list[Path]:
    """Return the wanted modules and what they depend on, dependencies first."""
    out: list[Path] = []

    def add(name: str) -> None:
        path = found.get(name.replace("-", "_"))
        if path is None or path in out:
            return  # built into the kernel, or added already
        line = re.search(rb"\0depends=([^\0]*)\0", path.read_bytes())
        for needed in filter(None, line[1].decode().split(",") if line else []):
            add(needed)
        out.append(path)

    for name in ("virtio_pci_modern_dev", *WANTED):
        add(name)
    return out


def cpio(entries: list[tuple[str, bytes, int]]) -> bytes:
    """Return an archive (format newc) of (name, content, mode) entries."""
    out = bytearray()
    for number, (name, data, mode) in enumerate([*entries, ("TRAILER!!!", b"", 0)], 1):
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        out += b"070701" + b"".join(b"%08X" % f for f in fields) + name.encode() + b"\0"
        out += b"\0" * (-len(out) % 4) + data
        out += b"\0" * (-len(out) % 4)
    return bytes(out)


def initrd(tree: Path, command: str) -> bytes:
    """Return the first file system of the guest."""
    order = in_order(modules(tree))
    options = {"vivid": VIVID, "v4l2loopback": LOOPBACK}
    lines = "".join(f"{p.name} {options.get(p.stem, '')}\n" for p in order)
    busybox = Path(shutil.which("busybox") or "/bin/busybox").read_bytes()
    script = INIT.replace("$b chroot /host /bin/sh /run_me 2>&1 || $b chroot", "$b chroot")
    folders = [(d, b"", 0o040755) for d in ("bin", "mods")]
    files = [
        ("bin/busybox", busybox, 0o100755),
        ("init", script.encode(), 0o100755),
        ("order", lines.encode(), 0o100644),
        ("run_me", command.encode(), 0o100644),
        *((f"mods/{p.name}", p.read_bytes(), 0o100644) for p in order),
    ]
    return gzip.compress(cpio([*folders, *files]), 1)


def run(command: str, folder: Path, timeout_s: float = 300) -> str:
    """Boot, run a shell command in the guest, power off, and return what the serial line said."""
    tree = Path(os.environ["FACELAB_KERNEL_TREE"])
    image = folder / "initrd.gz"
    image.write_bytes(initrd(tree, command))
    append = "console=ttyS0 quiet panic=-1 mitigations=off tsc=unstable"
    done = subprocess.run(
        [
            *("qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-m", "1536"),
            *("-nographic", "-no-reboot", "-nic", "none"),
            *("-kernel", str(next(tree.glob("boot/vmlinuz-*"))), "-initrd", str(image)),
            *("-append", append),
            "-virtfs",
            "local,path=/,mount_tag=hostroot,security_model=none,readonly=on,multidevs=remap",
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout_s,
        check=False,
    )
    return done.stdout.decode("utf-8", "replace").replace("\r\n", "\n")

#!/bin/sh
# The interpreter is generic: no word of what programs are for may appear in it.
cd "$(dirname "$0")/.." || exit 1
if grep -niE 'rootfs|veth|procfs|/proc|lxc|container|mount|cgroup|chroot|hook|guest|namespace' interp.c interp.h; then
    echo "words.sh: the lines above tell the interpreter what programs are for" >&2
    exit 1
fi

# Times calls over one open connection to each of several daemons of libvirt's protocol, in turn: what is left when
# virsh's own start is taken away. The clock is read around the calls alone.
#
#   libvirt-calls.py cycle|list|enter -r RUNS -w WARMUP -g GAP_MS [-d DOMAIN] SIDE=URI...
#   libvirt-calls.py memory SIDE=URI...
#
#   cycle: create and destroy of DOMAIN    list: what `virsh list` asks    enter: what `virsh lxc-enter-namespace` asks
#
# One line per call: WHAT SIDE NANOSECONDS. A side that fails: "fault SIDE WORDS", and it is left out from then on.
# memory: one line "memory SIDE KILOBYTES" for each running domain, the proportional set size of what keeps it, which is
# libvirt's controller or islet's monitor.
import argparse
import os
import time

import libvirt
import libvirt_lxc


def timed(call):
    began = time.monotonic_ns()
    result = call()
    return time.monotonic_ns() - began, result


def cycle(connection, options):
    domain = connection.lookupByName(options.domain)
    start, _ = timed(domain.create)
    # The init gets the time to say that SIGTERM ends it.
    time.sleep(options.gap / 1000)
    destroy, _ = timed(domain.destroy)
    return {"start": start, "destroy": destroy, "cycle": start + destroy}


def ask_all(connection):
    domains = connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
    return [domain.state() for domain in domains]


def list_all(connection, _):
    return {"list": timed(lambda: ask_all(connection))[0]}


def ask_to_enter(connection, name):
    domain = connection.lookupByName(name)
    descriptors = libvirt_lxc.lxcOpenNamespace(domain, 0)
    connection.getSecurityModel()
    domain.securityLabel()
    return descriptors


def enter(connection, options):
    took, descriptors = timed(lambda: ask_to_enter(connection, options.domain))
    for descriptor in descriptors:
        os.close(descriptor)
    return {"enter": took}


def field(path, name):
    with open(path, encoding="utf8") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(name))


def memory(side, connection):
    for pid in connection.listDomainsID():
        # The id of libvirt's domains is their controller's, that of islet's their init's.
        keeper = field(f"/proc/{pid}/status", "PPid:") if side == "islet" else pid
        print("memory", side, field(f"/proc/{keeper}/smaps_rollup", "Pss:"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["cycle", "list", "enter", "memory"])
    parser.add_argument("-r", dest="runs", type=int, default=1)
    parser.add_argument("-w", dest="warmup", type=int, default=0)
    parser.add_argument("-g", dest="gap", type=int, default=0)
    parser.add_argument("-d", dest="domain", default="")
    parser.add_argument("sides", nargs="+")
    options = parser.parse_args()
    # They are told of by the exceptions.
    libvirt.registerErrorHandler(lambda *_: None, None)
    open_sides = {}

    def attempt(side, call):
        try:
            return call()
        except Exception as error:
            print("fault", side, " ".join(str(error).split()), flush=True)
            open_sides.pop(side, None)
            return None

    for side, uri in (each.split("=", 1) for each in options.sides):
        connection = attempt(side, lambda uri=uri: libvirt.open(uri))
        if connection is not None:
            open_sides[side] = connection
    if options.what == "memory":
        for side, connection in list(open_sides.items()):
            attempt(side, lambda side=side, connection=connection: memory(side, connection))
        return
    once = {"cycle": cycle, "list": list_all, "enter": enter}[options.what]
    for run in range(-options.warmup, options.runs):
        for side, connection in list(open_sides.items()):
            time.sleep(options.gap / 1000)
            times = attempt(side, lambda connection=connection: once(connection, options))
            if times is not None and run >= 0:
                for what, took in times.items():
                    print(what, side, took, flush=True)


main()

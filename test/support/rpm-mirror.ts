import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Signer } from "./signing.js";

/** Two repositories of Fedora's layout: a release with one package, which is all that the template asks for, and no updates. */

export interface RpmMirror {
  readonly directory: string;
  readonly release: string;
  /** Names that the one package answers to. */
  readonly provides: readonly string[];
  /** null: it is not signed. */
  readonly key: Signer | null;
}

/** A system of busybox: init, a shell, and the one program that the template asks for by its path. */
const spec = (provides: readonly string[]): string => `Name: islet-fedora
Version: 1
Release: 1
Summary: A small system
License: none
AutoReqProv: no
Provides: ${provides.join(" ")}
%description
A small system.
%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/usr/sbin %{buildroot}/sbin %{buildroot}/bin %{buildroot}/etc/init.d %{buildroot}/root %{buildroot}/sys %{buildroot}/tmp
cp /bin/busybox %{buildroot}/usr/bin/busybox
for each in sh ls cat id hostname sleep grep touch; do ln -s ../usr/bin/busybox %{buildroot}/bin/$each; done
ln -s busybox %{buildroot}/usr/bin/passwd
ln -s ../usr/bin/busybox %{buildroot}/sbin/init
echo 'root:x:0:0:root:/root:/bin/sh' > %{buildroot}/etc/passwd
echo 'root:*:20000:0:99999:7:::' > %{buildroot}/etc/shadow
echo 'root:x:0:' > %{buildroot}/etc/group
echo '::sysinit:/etc/init.d/rcS' > %{buildroot}/etc/inittab
echo '#!/bin/sh' > %{buildroot}/etc/init.d/rcS
chmod 755 %{buildroot}/etc/init.d/rcS
%post
/usr/bin/busybox test -e /proc/self/status && /usr/bin/busybox touch /etc/scripts-have-proc
echo > /dev/null && /usr/bin/busybox touch /etc/scripts-have-null
%files
/usr/bin/*
/bin/*
/sbin/init
/etc/*
%dir /root
%dir /sys
%dir /tmp
%dir /usr/sbin
`;

export function makeRpmMirror({ directory, release, provides, key }: RpmMirror): void {
  const run = (words: readonly string[], env: Readonly<Record<string, string>> = {}): void => {
    const [program = "", ...rest] = words;
    execFileSync(program, rest, { stdio: "pipe", env: { ...process.env, ...env } });
  };
  const work = join(directory, "build");
  mkdirSync(work, { recursive: true });
  writeFileSync(join(work, "islet.spec"), spec(provides));
  const macros = { _topdir: work, _build_id_links: "none", __os_install_post: "%{nil}", debug_package: "%{nil}" };
  const define = Object.entries(macros).flatMap(([name, value]) => ["--define", `${name} ${value}`]);
  const arch = process.arch === "arm64" ? "aarch64" : "x86_64";
  run(["rpmbuild", "-bb", "--target", arch, ...define, join(work, "islet.spec")]);
  const updates = Number(release) >= 28 ? ["Everything", arch] : [arch];
  const places = [join("releases", release, "Everything", arch, "os"), join("updates", release, ...updates)];
  for (const [index, place] of places.entries()) {
    const repository = join(directory, "linux", place);
    mkdirSync(repository, { recursive: true });
    if (index === 0) {
      for (const file of readdirSync(join(work, "RPMS", arch))) {
        const rpm = join(repository, file);
        copyFileSync(join(work, "RPMS", arch, file), rpm);
        const sign = [
          "--define",
          "__gpg /usr/bin/gpg",
          "--define",
          `_gpg_name ${key?.fingerprint ?? ""}`,
          "--addsign",
          rpm,
        ];
        if (key !== null) run(["rpmsign", ...sign], { GNUPGHOME: key.home });
      }
    }
    run(["createrepo_c", "-q", repository]);
  }
}

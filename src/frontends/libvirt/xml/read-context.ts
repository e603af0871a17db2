/** What reading needs from outside, so that it is a function of text. */
export interface ReadContext {
  readonly newUuid: () => string;
  /** `52:54:00:xx:xx:xx` */
  readonly newMac: () => string;
  readonly defaultEmulator: string;
  /** Of the host. */
  readonly arch: "x86_64" | "aarch64";
  /** The security module that labels this host's guests: of a `<seclabel>` that names none. Absent: there is none. */
  readonly securityModel?: "selinux";
  /** Takes also what only a running domain has: its id, names of links, consoles. Clients' documents are read without. */
  readonly live?: boolean;
}

/** What documents name when they name none: where Debian has it. Nothing runs it. */
export const usualEmulator = "/usr/lib/libvirt/libvirt_lxc";

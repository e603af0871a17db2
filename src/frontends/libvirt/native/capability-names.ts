/** The capabilities that have an element of their own in a domain's XML, in the order in which libvirt prints them. */
// prettier-ignore
export const capabilityElements: readonly string[] = [
  "audit_control", "audit_write", "block_suspend", "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "ipc_lock", "ipc_owner",
  "kill", "lease", "linux_immutable", "mac_admin", "mac_override", "mknod", "net_admin", "net_bind_service", "net_broadcast", "net_raw",
  "setgid", "setfcap", "setpcap", "setuid", "sys_admin", "sys_boot", "sys_chroot", "sys_module", "sys_nice", "sys_pacct", "sys_ptrace",
  "sys_rawio", "sys_resource", "sys_time", "sys_tty_config", "syslog", "wake_alarm",
];

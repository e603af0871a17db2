/** Security modules that can confine guests, and what is there where the kernel runs one. */
export const securityModels: Readonly<Record<string, string>> = {
  selinux: "/sys/fs/selinux/enforce",
  apparmor: "/sys/kernel/security/apparmor",
};

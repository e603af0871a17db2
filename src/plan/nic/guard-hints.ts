/** What to say when bpf(2) fails. */
export const bpfHints: Readonly<Record<string, string>> = {
  ...missing("BPF_SYSCALL"),
  EPERM: "only root of the host may load BPF programs, not root of a container with an id map",
};

/** What to say when the kernel has no such queueing discipline, filter or call: CONFIG_`option`. */
export function missing(option: string): Readonly<Record<string, string>> {
  const says = `this kernel was built without CONFIG_${option}, or its module is not installed`;
  return { ENOENT: says, EOPNOTSUPP: says, ENOSYS: says };
}

/** Names for values that must not be mixed although they share a representation. */
declare const brand: unique symbol;
export type Brand<T, B extends string> = T & { readonly [brand]: B };

/** A container's name: 1 to 200 bytes, no `/`, not `.` or `..`, no control characters (see spec/name.ts). */
export type ContainerName = Brand<string, "ContainerName">;
/** A path that begins with `/` on the host. */
export type AbsPath = Brand<string, "AbsPath">;
/** A process id in the daemon's own pid namespace. */
export type Pid = Brand<number, "Pid">;
/** An open descriptor of this process. */
export type FdNumber = Brand<number, "FdNumber">;
/** A user or group id on the host. */
export type HostId = Brand<number, "HostId">;
/** A user or group id inside a user namespace. */
export type NsId = Brand<number, "NsId">;
